"""The result scripts still write their tables: from the committed numbers, or from made-up ones where none are yet."""

import importlib
from pathlib import Path

import pytest

from kinbits.bench import Experiment, Results

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
IDENTITY = ("protocol", "backbone", "direction", "method", "bits", "seed")
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


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_number_of_a_table_is_that_of_a_trial_of_its_file(path):
    """Names in the code may change, but not the hash of a trial's settings: its rows would count no more."""
    experiment = Experiment.from_file(path)
    results = Results(EXPERIMENTS.parent / "results" / f"{path.stem}.csv", experiment.metrics)
    shown = {tuple(row[name] for name in IDENTITY): row["config"].partition("-")[0] for row in results}
    assert shown
    assert set(shown.values()) <= {trial.settings for trial in experiment.trials()}
