"""The flags of kinbits fit and the keys of its file: made from the settings, and as strict as the library."""

import re
from pathlib import Path

import pytest

from kinbits._util import options_of
from kinbits.cli.flags import flag_of
from kinbits.fitting import FitSettings

OF_THE_COMMAND = {"cache", "checkpoints", "resume", "progress"}  # the command sets them itself, or has flags of its own
SCREEN = 45


def test_every_option_is_a_flag_and_the_help_fits_two_screens(run):
    out = run("fit", "--help").out
    for option in options_of(FitSettings):
        flag = "--" + option.name.replace("_", "-").replace("params", "param")
        assert (flag in out) == (option.name not in OF_THE_COMMAND - {"resume"}), flag
    assert "Code length. Default: 64, or the method's." in out
    assert len(out.splitlines()) <= 2 * SCREEN


def test_a_file_takes_every_option_by_its_name(run, vectors):
    keys = {"bits": 8, "method": "hashnet", "epochs": 1, "batch-size": 20, "optimizer": "sgd", "clip": 1, "lr": "1e-3"}
    lines = [f"{key}: {value}" for key, value in keys.items()]
    Path("e.yaml").write_text("\n".join([f"data: {vectors.name}", "output: m", "no-labels: false", *lines]))
    ended = run("fit", "--config", "e.yaml", "--json")
    assert ended.code == 0, ended.err
    assert Path("m/config.json").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--bits", "1_0"), "--bits is '1_0'; give a whole number"),
        (("--bits", "2.5"), "--bits is '2.5'; give a whole number"),
        (("--bits", "3"), "bits is 3; it must be at least 4"),
        (("--lr", "fast"), "--lr is 'fast'; give a number"),
        (("--batch-size", "1"), "batch_size is 1; it must be at least 2"),
        (("--optimizer", "sdg"), "--optimizer is 'sdg'; give one of adam, adamw, sgd"),
        (("--labels-fraction", "2"), "labels_fraction is 2.0; it must be above 0 and up to 1"),
        (("--patience", "3"), "patience needs a validation part"),
        (("--param", "margin"), "--param is 'margin'; give NAME=VALUE"),
    ],
)
def test_what_cannot_be_used_is_refused_before_any_work(run, vectors, flags, said):
    ended = run("fit", vectors, "-o", "m", *flags)
    assert ended.code == 2
    assert said in ended.error
    assert not Path("m").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bits: 1_0x", "bits is '1_0x'; give a whole number"),
        ("params: 3", "params is '3'; write below it"),
        ("param: {a: 1}", "unknown key 'param' in e.yaml; did you mean params"),
        ("bits: [", "e.yaml is no valid YAML (line 1, column 8: expected the node content, but found '<stream end>')"),
        ("checkpoints: here", "checkpoints"),
        ("bits: 8\nbits: 16", "e.yaml is no valid YAML (line 2, column 1: bits is given twice; keep one)"),
        ("batch-size: 8\nbatch_size: 16", "line 2, column 1: batch_size is given twice; keep one"),
        ("params: {margin: 1, margin: 2}", "line 1, column 21: margin is given twice; keep one"),
    ],
)
def test_a_file_is_read_as_strictly(run, vectors, text, said):
    Path("e.yaml").write_text(text)
    ended = run("fit", vectors, "-o", "m", "--config", "e.yaml")
    assert ended.code == 2
    assert said in ended.error


def test_the_page_on_fit_names_what_only_the_command_line_or_only_python_has(run):
    page = (Path(__file__).parents[2] / "docs/fit.md").read_text()
    flags = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", run("fit", "--help").out))
    table = re.findall(r"^\| `(\w+)` \| (.*?) \|", page, re.MULTILINE)
    assert {name for name, values in table if "only in Python" in values} == {"cache", "checkpoints", "progress"}
    only_here = page.partition("Only on the command line")[2].partition("## Notes")[0]
    named = {flag_of(name) for name, _ in table} | {"--help", "--output", "--frozen"}
    assert flags - named <= set(re.findall(r"--[a-z-]+", only_here))
