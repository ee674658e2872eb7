"""Committed results are of the present settings, and the result scripts still write their tables from them."""

import csv
import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kinbits
from kinbits.bench import Experiment, Results
from kinbits.index import create_index
from kinbits.methods import get_method

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
RESULTS = EXPERIMENTS.parent / "results"
# Scripts whose results are not made yet. Their results take them out.
UNMEASURED = {"robustness"}
WRITERS = {path.stem for path in EXPERIMENTS.glob("*.py") if "def write_markdown(" in path.read_text()}
SCRIPTS = sorted(WRITERS - UNMEASURED)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_result_script_writes_its_table(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXPERIMENTS)
    script = importlib.import_module(name)
    monkeypatch.setattr(script, "RESULTS", tmp_path)
    stem = name.replace("_", "-")
    table = script.open_table()
    assert table.rows
    script.write_markdown(table)
    (written,) = tmp_path.iterdir()
    text = written.read_text()
    assert written.name == f"{stem}.md"
    assert sum(line.startswith("|") for line in text.splitlines()) >= 3  # a head, a rule and a row
    assert "nan" not in text.split()


def test_a_stale_run_of_a_script_is_not_in_its_table_and_its_row_is_replaced(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXPERIMENTS)
    runs = importlib.import_module("_runs")
    monkeypatch.setattr(runs, "RESULTS", tmp_path)
    hashes = {"a": "one", "b": "other"}
    table = runs.Table("x.csv", ["name"], ["value"], lambda run: hashes[run["name"]])
    for name in hashes:
        table.add({"name": name}, {"value": 0.5}, 1, "split")
    assert table.has(name="a")
    assert not table.has(name="c")
    hashes["a"] = "two"
    assert not table.has(name="a")
    assert table.has(name="b")
    assert [row["name"] for row in table.stale()] == ["a"]
    table.add({"name": "a"}, {"value": 0.75}, 1, "split")
    again = runs.Table("x.csv", ["name"], ["value"], lambda run: hashes[run["name"]])
    assert [(row["name"], row["value"]) for row in again.rows] == [("a", "0.750000"), ("b", "0.500000")]
    assert not again.stale()


def test_a_script_knows_a_run_by_resolved_values_and_the_recipe(monkeypatch):
    monkeypatch.syspath_prepend(EXPERIMENTS)
    script = importlib.import_module("label_expansion")
    row = script.open_table().rows[0]
    before = script.open_table().config(row)
    hashnet = get_method("hashnet")
    monkeypatch.setattr(hashnet, "recipe", replace(hashnet.recipe, epochs=hashnet.recipe.epochs + 1))
    assert script.open_table().config(row) != before


@pytest.mark.parametrize("engine", ["exact", "faiss-hnsw"])
def test_an_index_of_cached_features_reorders_as_that_of_the_model(engine, monkeypatch):
    monkeypatch.syspath_prepend(EXPERIMENTS)
    vectors = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)
    model = kinbits.fit(vectors, method="rankhash", bits=8, epochs=1, progress=False)
    codes = model.encode(vectors)
    cached = create_index(engine=engine, model=importlib.import_module("rankhash").Cached(model)).add(codes)
    own = create_index(engine=engine, model=model).add(codes)
    found, wanted = (
        [hits.ids.tolist() for hits in index.search(vectors[:3], k=5, rerank=50)] for index in (cached, own)
    )
    assert found == wanted


def test_only_scripts_without_results_are_unmeasured():
    assert UNMEASURED <= WRITERS
    assert not [name for name in UNMEASURED if (RESULTS / f"{name.replace('_', '-')}.csv").exists()]


def test_the_scripts_are_found():
    assert {"label_expansion", "rankhash"} <= set(SCRIPTS)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.csv")), ids=lambda path: path.stem)
def test_results_are_of_the_present_settings_and_of_a_clean_commit(path, monkeypatch):
    monkeypatch.syspath_prepend(EXPERIMENTS)
    faults = sorted(faults_of(path))
    assert not faults, f"{path.name} has {', '.join(faults)}: make it anew from a clean commit"


def faults_of(path):
    """Yield what is wrong with a committed file of results, in words."""
    with path.open(newline="") as file:
        commits = {row["commit"] for row in csv.DictReader(file)}
    yield from (f"rows of commit {commit}" for commit in commits if commit.endswith("-dirty") or commit == "unknown")
    yield from (f"a stale row, config {config}" for config in {row["config"] for row in stale_rows_of_script(path)})
    plan = EXPERIMENTS / f"{path.stem}.yaml"
    if plan.exists():
        experiment = Experiment.from_file(plan)
        status = Results(path, experiment.metrics).status(experiment.trials())
        yield from (f"a stale {trial}" for trial in status.stale)
        yield from (f"a row of no trial, {row['method']}" for row in status.orphans)


def stale_rows_of_script(path):
    """Return the stale rows of a file that a script writes."""
    name = path.stem.replace("-", "_")
    if name == "ties":
        return importlib.import_module(name).stale()
    if name == "choices":
        return importlib.import_module("recipes").choices_table().stale()
    return importlib.import_module(name).open_table().stale() if name in SCRIPTS else []
