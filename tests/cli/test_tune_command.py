"""kinbits tune: the leaderboard, the model, and what is refused."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kinbits
from kinbits import PlatformError
from kinbits._util import locked_output
from kinbits.methods import get_method

TUNE = ("tune", "vectors.npz", "-o", "m", "--bits", "16", "--budget", "none", "--methods", "csq")
SHORT = ("bihalf", "csq", "orthohash", "shc", "softmax")


@pytest.fixture(scope="module", autouse=True)
def short_recipes():
    """Short runs: how good methods become is measured elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        for method in map(get_method, SHORT):
            patch.setattr(method, "recipe", replace(method.recipe, epochs=8, min_steps=0))
        yield


@pytest.fixture
def tuned(run, vectors):
    """The JSON of a search among the vectors."""
    ended = run(*TUNE, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def test_python_finds_the_same(tuned, vectors):
    found = kinbits.tune(str(vectors), methods=["csq"], bits=16, budget=None, progress=False)
    boards = [[{**row, "seconds": 0} for row in board] for board in (tuned["tuning"]["board"], found.to_dicts())]
    assert boards[0] == boards[1]
    assert tuned["fingerprint"] == found.model.fingerprint == kinbits.HashModel.from_pretrained("m").fingerprint
    assert (tuned["method"], tuned["rows"]) == (found.best.method, 60)


def test_a_person_sees_the_leaderboard_and_the_next_step(run, vectors):
    ended = run(*TUNE)
    assert ended.code == 0, ended.err
    assert "map@all among 12 held-out rows; relevant: a shared label" in ended.out
    assert "95 % interval" in ended.out
    assert "kinbits index create m.index m vectors.npz" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80


def test_a_folder_without_labels(run, images):
    images("photos", flat=24)
    small = ("--backbone", "convnet-small", "--frozen", "--image-size", "32", "--bits", "8")
    ended = run(
        "tune", "photos", "-o", "m", "--methods", "bihalf", "--validation", "0.4", "--budget", "1m", *small, "--json"
    )
    assert ended.code == 0, ended.err
    made = json.loads(ended.out)["tuning"]
    assert (made["held_out"], made["relevant"], made["budget"]) == (10, "the ten nearest by features", 60)
    assert {"itq", "bihalf"} <= {row["method"] for row in made["board"]}


def test_an_interrupted_search_saves_the_best_so_far(run, vectors, monkeypatch):
    halve = "kinbits.tuning.search.Search._halve"  # after the baselines
    monkeypatch.setattr(halve, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    ended = run(*TUNE)
    assert ended.code == 0, ended.err
    assert "interrupted; the best so far is fitted to all rows and saved" in ended.err
    assert Path("m/config.json").exists()


@pytest.mark.parametrize(
    ("place", "error", "code"),
    [
        ("kinbits.tuning.run.fit", KeyboardInterrupt(), 130),
        ("kinbits.model.HashModel.save_pretrained", OSError(errno.ENOSPC, "No space left on device"), 5),
    ],
    ids=["interrupted", "disk full"],
)
@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_leaderboard_outlives_a_model_that_cannot_be_made(run, vectors, monkeypatch, place, error, code, flags):
    with monkeypatch.context() as patch:
        patch.setattr(place, lambda *_: (_ for _ in ()).throw(error))
        ended = run(*TUNE, *flags)
    assert ended.code == code, ended.err
    assert "map@all among 12 held-out rows" in (ended.err if flags else ended.out)
    assert f"no model is saved; the leaderboard is in {Path('m.leaderboard.json').absolute()}" in ended.err
    assert not Path("m").exists()
    kept = json.loads(Path("m.leaderboard.json").read_text())
    assert kept["board"][0]["method"] == kept["options"]["method"]
    assert run(*TUNE).code == 0
    assert not Path("m.leaderboard.json").exists()  # the model holds it


def test_a_leaderboard_that_cannot_be_kept_is_printed(run, vectors, monkeypatch):
    def refuse(*_):
        raise PlatformError("m.leaderboard.json cannot be written: No space left on device")

    monkeypatch.setattr("kinbits.cli.tune.write_text", refuse)
    ended = run(*TUNE)
    assert ended.code == 0, ended.err
    assert "warning: m.leaderboard.json cannot be written" in ended.err
    assert "map@all among 12 held-out rows" in ended.out


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--budget", "fast"), 2, "'fast' is no time; write e.g. 30s or 2m"),
        (("--budget", "0"), 2, "budget is 0.0; it must be above 0"),
        (("--methods", "cqs"), 2, "did you mean csq"),
        (
            ("--methods", ""),
            2,
            "methods is ['']; leave it out, or give a list of .py files and names, none of them empty: adsh,",
        ),
        (("--methods", "itq,,csq"), 2, "methods is ['itq', '', 'csq']; leave it out, or give a list"),
        (("--validation", "0"), 2, "validation is 0; tune scores candidates on held-out rows: give a share above 0"),
        (("--validation", "0.9"), 2, "validation is 0.9; it must be from 0 to 0.5"),
        (("--search", "text"), 2, "search is text, and vectors has no texts"),
        (("--epochs", "3"), 2, "No such option: --epochs"),
    ],
)
def test_what_cannot_be_done_is_refused(run, vectors, flags, code, said):
    ended = run("tune", vectors, "-o", "m", *flags)
    assert (ended.code, Path("m").exists()) == (code, False)
    assert said in ended.error


@pytest.mark.parametrize("verb", ["fit", "tune"])
def test_two_runs_do_not_write_one_model(run, vectors, verb):
    with locked_output(Path("m"), "output folder"):
        ended = run(verb, vectors, "-o", "m")
    assert ended.code == 5
    assert f"process {os.getpid()} is writing {Path('m').absolute()}; wait until it ends, or choose" in ended.error
    assert not any(path.name.startswith((".m", "m")) for path in Path().iterdir())


def test_an_older_leaderboard_is_not_taken_for_that_of_a_run_that_failed(run, vectors):
    Path("m.leaderboard.json").write_text("{}")
    assert "leaderboard" not in run("tune", vectors, "-o", "m", "--methods", "cqs").err


def test_a_model_is_replaced_on_demand_only(run, vectors, model):
    refused = run("tune", vectors, "-o", model)
    assert refused.code == 2
    assert "--force" in refused.error


def test_protocols_are_tuned_on_their_train_part(run, vectors):
    ended = run(
        "tune", "folder:vectors.npz", "-o", "m", "--bits", "8", "--methods", "csq", "--budget", "none", "--json"
    )
    assert ended.code == 0, ended.err
    trained = len(kinbits.load_protocol(f"folder:{vectors}").train)
    assert json.loads(ended.out)["rows"] == trained < 60
    np.testing.assert_equal(json.loads(ended.out)["tuning"]["held_out"], round(0.2 * trained))
