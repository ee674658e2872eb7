"""Committed results are of the present settings, and the result scripts still write their tables from them."""

import csv
import importlib
from pathlib import Path

import pytest

from kinbits.bench import Experiment, Results

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
RESULTS = EXPERIMENTS.parent / "results"
SCRIPTS = sorted({path.stem for path in EXPERIMENTS.glob("*.py") if "def write_markdown(" in path.read_text()})


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_result_script_writes_its_table(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXPERIMENTS)
    script = importlib.import_module(name)
    monkeypatch.setattr(script, "RESULTS", tmp_path)
    stem = name.replace("_", "-")
    metrics = script.METRICS if hasattr(script, "METRICS") else [script.METRIC]
    table = script.Table(f"{stem}.csv", script.FIELDS, metrics)
    if not table.rows:
        table.rows = [dict.fromkeys(script.FIELDS, "8") | dict.fromkeys(metrics, value) for value in ("0.25", "0.75")]
    script.write_markdown(table)
    (written,) = tmp_path.iterdir()
    text = written.read_text()
    assert written.name == f"{stem}.md"
    assert sum(line.startswith("|") for line in text.splitlines()) >= 3  # a head, a rule and a row
    assert "nan" not in text.split()


def test_the_scripts_are_found():
    assert {"label_expansion", "medical_classes", "rankhash"} <= set(SCRIPTS)


# Results that are not yet made anew from a clean commit. Names are only taken out here, never put in.
STALE = {
    "ablations-cross-modal",
    "ablations-grocery",
    "ablations-hierarchies",
    "ablations-multi-label",
    "ablations-pairs",
    "ablations-unsupervised",
    "cifar10",
    "cifar10-scratch",
    "cifar10-vit",
    "cross-modal",
    "fashion-mnist",
    "grocery",
    "hierarchies",
    "medical",
    "medical-classes",
    "multi-label",
    "pretraining",
    "unsupervised",
}


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.csv")), ids=lambda path: path.stem)
def test_results_are_of_the_present_settings_and_of_a_clean_commit(path):
    faults = sorted(faults_of(path))
    if path.stem in STALE:
        assert faults, f"{path.name} is in order: take it out of STALE"
    else:
        assert not faults, f"{path.name} has {', '.join(faults)}: make it anew from a clean commit"


def faults_of(path):
    """Yield what is wrong with a committed file of results, in words."""
    with path.open(newline="") as file:
        commits = {row["commit"] for row in csv.DictReader(file)}
    yield from (f"rows of commit {commit}" for commit in commits if commit.endswith("-dirty") or commit == "unknown")
    plan = EXPERIMENTS / f"{path.stem}.yaml"
    if plan.exists():
        experiment = Experiment.from_file(plan)
        status = Results(path, experiment.metrics).status(experiment.trials())
        yield from (f"a stale {trial}" for trial in status.stale)
        yield from (f"a row of no trial, {row['method']}" for row in status.orphans)


def test_only_files_that_are_there_are_excused():
    assert {path.stem for path in RESULTS.glob("*.csv")} >= STALE
