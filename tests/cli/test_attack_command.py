"""kinbits attack: its report on disk and on the screen, resumption after a kill, and errors of one line."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kinbits._util import locked_output
from kinbits.cli import main

KILLED = """
import os, signal, sys
from kinbits.cli import main
from kinbits.robustness.finished_rows import FinishedRows

add = FinishedRows.add

def kill(self, key, rows):
    add(self, key, rows)
    if key[0] == "attack":
        os.kill(os.getpid(), signal.SIGKILL)

FinishedRows.add = kill
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of pictures, and a model of them."""
    import numpy as np
    from PIL import Image

    folder = tmp_path_factory.mktemp("attack")
    rng = np.random.default_rng(0)
    for number in range(60):
        pixels = rng.integers(0, 120, (12 + number % 2, 12, 3), dtype=np.uint8)  # of mixed size
        pixels[..., number % 3] += 60
        path = folder / "photos" / "abc"[number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    fit = ("fit", f"folder:{folder / 'photos'}", "-o", str(folder / "model"), "--backbone", "convnet-small")
    assert main([*fit, "--image-size", "16", "--bits", "8", "--epochs", "2", "--method", "orthohash"]) == 0
    return folder


@pytest.fixture
def attack(run, place):
    """Run the command on the model with few queries and no edits."""

    def call(*arguments, data=place / "photos", model=place / "model"):
        return run("attack", model, f"folder:{data}", "--queries", 6, "--no-edits", "-o", "out", *arguments)

    return call


def test_an_attack_is_trained_saved_and_measured(run, place, attack):
    few = ("--param", "epochs=1", "--param", "width=8", "--param", "prototype_steps=2")
    ended = run("attack", "fit", place / "model", f"folder:{place / 'photos'}", "-o", "gan", *few)
    assert ended.code == 0, ended.err
    assert "pros-gan" in ended.out
    ended = attack("--attacks", "gan")
    assert ended.code == 0, ended.err
    assert "pros-gan (gan)" in ended.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--attack", "pgd"), "attack 'pgd' learns nothing, so it needs no training; those that do: pros-gan, tha"),
        (("--attack", "gan"), "pros-gan"),
        (("--param", "epoch=1"), "epochs"),
        (("--param", "epochs=x"), "epochs"),
    ],
)
def test_training_that_cannot_be_is_refused(run, place, arguments, message):
    ended = run("attack", "fit", place / "model", f"folder:{place / 'photos'}", "-o", "gan2", *arguments)
    assert ended.code == 2
    assert message in ended.err


def test_help_shows_what_is_typed_and_no_more(run):
    shown = run("attack", "--help").out
    assert "Usage: kinbits attack [OPTIONS]" in shown
    for told in ("--epsilon", "kinbits attack fit", "kinbits attack compare"):
        assert told in shown
    for hidden in ("attack report", "--vector-column", "--text-column"):
        assert hidden not in shown
    assert "--images" in run("attack", "fit", "--help").out
    assert "REPORT_A" in run("attack", "compare", "--help").out
    assert run("attack").error == "error: Missing argument 'model'; see `kinbits attack --help`"
    assert run("attack", "fit").error == "error: Missing argument 'model'; see `kinbits attack fit --help`"


def test_a_model_may_be_called_report(run, place):
    (Path.cwd() / "report").symlink_to(place / "model")
    few = ("--queries", 3, "--no-edits", "--attacks", "none", "-o", "out")
    assert run("attack", "report", f"folder:{place / 'photos'}", *few).code == 0


def test_parameters_of_attacks_are_given_recorded_and_measured_again(attack):
    few = ("--attacks", "noise,pgd", "--param", "pgd.code=own")
    ended = attack(*few, "--param", "steps=2", "--param", "pgd.epsilon=16/255")
    assert ended.code == 0, ended.err
    told = json.loads(Path("out/report.json").read_text())
    assert told["attacks"]["pgd (steps=2, code=own, epsilon=0.06275)"]["params"] == {
        "steps": 2,
        "code": "own",
        "epsilon": 16 / 255,
    }
    ended = attack(*few, "--param", "steps=3", "--resume")
    assert "pgd (steps=3, code=own)" in ended.out
    assert "steps=2" not in ended.out


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("stepz=3", "unknown parameter 'stepz' of noise, pgd; did you mean steps"),
        ("dhta.steps=3", "unknown attack 'dhta' of parameter 'dhta.steps'; known: noise, pgd"),
        ("steps=many", "parameter steps is 'many'; give a whole number"),
        ("steps", "--param is 'steps'; give NAME=VALUE"),
        ("epsilon=0.1", "epsilon is the budget of all attacks"),
        ("steps=0", "steps is 0"),
    ],
)
def test_parameters_that_cannot_be_are_refused(attack, param, message):
    ended = attack("--param", param)
    assert ended.code == 2
    assert message in ended.error


def test_targeted_attacks_take_parameters(attack):
    ended = attack("--attacks", "none", "--targeted", "--param", "dhta.images=3", "--param", "steps=1")
    assert ended.code == 0, ended.err
    assert "p2p (steps=1)" in ended.out
    assert "dhta (steps=1, images=3)" in ended.out


def test_two_commands_do_not_write_one_report(attack):
    with locked_output(Path("out/rows.json"), "folder"):
        ended = attack("--attacks", "none")
    assert ended.code == 5
    assert ended.error.endswith("rows.json; wait until it ends, or choose another folder")
    assert attack("--attacks", "none").code == 0


def test_two_reports_are_compared(run, attack):
    assert attack("--attacks", "noise", "-o", "a").code == 0
    assert attack("--attacks", "noise,pgd", "--epsilon", "16/255", "-o", "b").code == 0
    ended = run("attack", "compare", "a", "b")
    assert ended.code == 0, ended.err
    assert max(map(len, ended.out.splitlines())) <= 80
    shown = " ".join(ended.out.split())
    for told in ("B - A", "opposite code", "only B has 'pgd, own code'", "6 queries", "another budget"):
        assert told in shown
    told = json.loads(run("attack", "compare", "a", "b", "--json").out)
    assert [row["name"] for row in told["rows"]][:2] == ["clean", "noise"]
    assert told["rows"][0]["difference"] == 0
    assert told["rows"][0]["paired"] == 6
    ended = run("attack", "compare", "a", "c")
    assert (ended.code, "c holds no report of robustness" in ended.error) == (4, True)


def test_the_report_is_printed_and_written(attack):
    ended = attack("--attacks", "noise", "--targeted", "--epsilon", "0.02")
    assert ended.code == 0, ended.err
    assert max(map(len, ended.out.splitlines())) <= 80
    for name in ("clean", "noise", "p2p", "dhta", "opposite code", "t-mAP"):
        assert name in ended.out
    assert "pgd" not in ended.out
    assert "6 images each: about" in ended.err
    told = json.loads(Path("out/report.json").read_text())
    assert told["epsilon"] == 0.02
    assert Path("out/report.html").read_text().startswith("<!doctype html>")


def test_a_killed_run_goes_on_to_the_same_table(attack, place):
    arguments = ["--attacks", "noise,p2p", "--transfer", str(place / "model"), "--json"]
    whole = json.loads(attack(*arguments).out)["rows"]
    command = ["attack", place / "model", f"folder:{place / 'photos'}", "--queries", "6", "--no-edits", "-o", "part"]
    code = [sys.executable, "-c", KILLED, *map(str, command), *arguments]
    killed = subprocess.run(code, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(json.loads(Path("part/rows.json").read_text())["done"]) == 2
    ended = attack(*arguments, "--resume", "-o", "part")
    assert "2 of 8 rows are done; 6 to measure" in ended.err
    assert [timeless(row) for row in json.loads(ended.out)["rows"]] == [timeless(row) for row in whole]
    ended = attack(*arguments, "--resume", "-o", "part", "--seed", "1")
    assert ended.code == 2
    assert ended.error.endswith("give the same, another folder, or begin again by force (--force)")


def timeless(row):
    return {**row, "seconds": None}


def test_edits_alone(run, place):
    ended = run("attack", place / "model", place / "photos", "--queries", 3, "--attacks", "none", "-o", "out", "--json")
    assert ended.code == 0, ended.err
    assert {row["group"] for row in json.loads(ended.out)["rows"]} == {"clean", "edit", "bound"}


def test_budgets_are_fractions_or_numbers(attack):
    for text in ("9/255/2", "300/255", "a lot", "1/0", "nan"):
        ended = attack("--epsilon", text)
        assert ended.code == 2
        assert ended.error.endswith(f"'{text}'; give a share of a pixel's range from 0 to 1, e.g. 8/255 or 0.03")
    assert attack("--epsilon", "4/255", "--attacks", "noise").code == 0
    assert json.loads(Path("out/report.json").read_text())["epsilon"] == 4 / 255


def test_errors_name_the_remedy(attack, run, model, vectors):
    assert attack("--target", "bb").error == "error: unknown target label 'bb'; did you mean b?"
    assert "learns a network first; train it, save it, and give its folder" in attack("--attacks", "tha").error
    assert "did you mean pgd" in attack("--attacks", "pdg").error
    ended = run("attack", model, vectors, "-o", "out")
    assert (ended.code, ended.error) == (
        2,
        "error: attacks change pixels, and this model reads vectors; take a model of images",
    )


def test_data_without_labels_are_refused(run, place, images):
    ended = run("attack", place / "model", images("flat", flat=20), "--targeted", "-o", "out")
    assert ended.code == 3
    assert "label" in ended.error
