"""Trials are done, missing or stale, and rows that belong to none of them are told."""

import csv
import os

import numpy as np
import pytest
from user_method import CHANGED, OWN

from kinbits.bench import Experiment, Results, Status, bench, load_results, runner
from kinbits.errors import DataError, PlatformError
from kinbits.methods import get_method


@pytest.fixture
def plan(small):
    """Two quick methods, one length, one seed."""
    return small | {"methods": ["lsh", "pca"], "baselines": False, "bits": [8], "seeds": [0], "training": {}}


def status(plan, path):
    return Results(path, plan["metrics"]).status(Experiment.from_dict(plan).trials())


def run(plan, path):
    told = []
    ran = bench(Experiment.from_dict(plan), path, tell=told.append)
    results, failures = ran.results, ran.failures
    assert not failures
    assert results.rows == list(csv.DictReader(path.read_text().splitlines()))
    return [row["method"] for row in results], told


def labels(trials):
    return [trial.entry.label for trial in trials]


def test_a_stale_trial_is_run_again_and_the_file_holds_it_once_at_its_place(plan, tmp_path, monkeypatch):
    path = tmp_path / "x.csv"
    assert labels(status(plan, path).missing) == ["lsh", "pca"]
    assert run(plan, path)[0] == ["lsh", "pca"]
    before = path.read_text()
    monkeypatch.setattr(get_method("lsh"), "version", 2)
    found = status(plan, path)
    assert (labels(found.done), found.missing, labels(found.stale)) == (["pca"], (), ["lsh"])
    methods, told = run(plan, path)
    assert methods == ["lsh", "pca"]
    assert told[:2] == ["2 trials: 1 done, 0 missing, 1 stale", "  stale: lsh (1)"]
    assert path.read_text() != before
    assert not status(plan, path).left


def test_rows_of_another_split_are_stale(plan, tmp_path):
    path = tmp_path / "x.csv"
    run(plan, path)
    checksum = Results(path, plan["metrics"]).rows[0]["split_checksum"]
    path.write_text(path.read_text().replace(checksum, "0" * 64, 1))
    assert labels(status(plan, path).stale) == ["lsh"]


def test_rows_of_other_data_under_the_same_names_are_stale(plan, tmp_path):
    path, data = tmp_path / "x.csv", tmp_path / "data.npz"
    run(plan, path)
    given = dict(np.load(data))
    np.savez(data, **given)
    assert labels(status(plan, path).done) == ["lsh", "pca"]  # written again, with the same contents
    given["vectors"][7, 3] += 1
    np.savez(data, **given)
    assert labels(status(plan, path).stale) == ["lsh", "pca"]
    _, told = run(plan, path)
    assert told[0] == "2 trials: 0 done, 0 missing, 2 stale"
    assert not status(plan, path).left


def test_a_trial_that_fails_keeps_its_stale_row(plan, tmp_path, monkeypatch):
    path = tmp_path / "x.csv"
    run(plan, path)
    before = path.read_text()
    monkeypatch.setattr(get_method("lsh"), "version", 2)
    monkeypatch.setattr("kinbits.bench.runner.measure", lambda trial: 1 / 0)
    failures = bench(Experiment.from_dict(plan), path).failures
    assert [failure.trial.entry.label for failure in failures] == ["lsh"]
    assert path.read_text() == before


def test_rows_of_a_method_that_was_taken_out_or_renamed_are_told_and_pruned(plan, tmp_path):
    path = tmp_path / "x.csv"
    run(plan, path)
    fewer = plan | {"methods": [{"method": "lsh", "label": "planes"}]}
    found = status(fewer, path)
    assert (labels(found.missing), found.stale) == (["planes"], ())
    assert [row["method"] for row in found.orphans] == ["lsh", "pca"]
    methods, told = run(fewer, path)
    assert methods == ["lsh", "pca", "planes"]
    assert told[:3] == [
        "1 trial: 0 done, 1 missing, 0 stale",
        "  missing: planes (1)",
        "  rows of no trial: lsh (1), pca (1)",
    ]
    told = []
    made = bench(Experiment.from_dict(fewer), path, only=["pca"], prune=True, tell=told.append)
    assert told[0] == "removed rows of no trial: 1"
    assert [row["method"] for row in made.status.orphans] == ["lsh"]
    assert [row["method"] for row in Results(path, plan["metrics"])] == ["lsh", "planes"]
    made = load_results(Experiment.from_dict(fewer), path, prune=True, tell=told.append)
    assert told[-1] == "removed rows of no trial: 1"
    assert made.status == status(fewer, path)
    assert [row["method"] for row in Results(path, plan["metrics"])] == ["planes"]


def test_the_status_after_a_run_is_that_of_its_rows(plan, tmp_path, monkeypatch):
    """It is not compared again: the hashes of hundreds of trials take their time."""
    path, counted = tmp_path / "x.csv", []
    several = plan | {"methods": ["lsh", "pca"], "bits": [8, 64]}  # 24 dimensions have no 64 principal components
    real = Status.from_rows.__func__
    monkeypatch.setattr(Status, "from_rows", classmethod(lambda *given: counted.append(1) or real(*given)))
    made = bench(Experiment.from_dict(several), path, only=["pca"])
    assert len(counted) == 1
    assert [str(one.trial) for one in made.failures] == [
        str(one) for one in made.status.missing if one.entry.label == "pca"
    ]
    assert [{*map(str, some)} for some in (made.status.done, made.status.missing)] == [
        {*map(str, some)} for some in (status(several, path).done, status(several, path).missing)
    ]
    assert len(made.status.done) == 1


def test_without_rows_there_is_nothing_to_show(plan, tmp_path):
    with pytest.raises(DataError, match=r"x\.csv has no rows yet; run the experiment first"):
        load_results(Experiment.from_dict(plan), tmp_path / "x.csv")


def test_a_second_run_on_the_same_results_ends_at_once_and_names_the_first(plan, tmp_path, monkeypatch):
    path, seen = tmp_path / "x.csv", []
    real = runner.measure

    def measured(trial):
        for second in (bench, lambda *given: load_results(*given, prune=True)):
            with pytest.raises(PlatformError, match=f"process {os.getpid()} is writing {path}; wait until it ends"):
                second(Experiment.from_dict(plan), path)
        bench(Experiment.from_dict(plan | {"methods": ["itq"]}), tmp_path / "y.csv")
        seen.append(trial)
        return real(trial)

    bench(Experiment.from_dict(plan | {"methods": ["lsh"]}), path)
    monkeypatch.setattr(
        runner, "measure", lambda trial: real(trial) if trial.entry.method == "itq" else measured(trial)
    )
    made = bench(Experiment.from_dict(plan), path)
    assert not made.failures
    assert labels(seen) == ["pca"]
    assert [one.name for one in tmp_path.glob(".*")] == []


def test_rows_that_another_command_added_meanwhile_stay(plan, tmp_path):
    path = tmp_path / "x.csv"
    first, second = Results(path, plan["metrics"]), Results(path, plan["metrics"])
    lsh, pca = Experiment.from_dict(plan).trials()
    first.replace(lsh, [{**lsh.columns, "config": "a"}])
    second.replace(pca, [{**pca.columns, "config": "b"}])
    assert [row["config"] for row in Results(path, plan["metrics"])] == ["a", "b"]


def test_a_users_own_file_is_run_again_when_its_code_changes_and_only_then(plan, tmp_path):
    file, path = tmp_path / "of_a_user.py", tmp_path / "x.csv"
    plan |= {"methods": [{"method": str(file), "label": "own"}]}
    ran = []
    for text in (OWN, OWN.replace("a pull", "another comment"), CHANGED):
        file.write_text(text)
        methods, told = run(plan, path)
        assert methods == ["own"]
        ran.append(sum(line.startswith("[") for line in told))
    assert ran == [1, 0, 1]


def test_the_lines_fit_a_terminal_however_many_methods_there_are(plan, tmp_path):
    many = [{"method": "lsh", "label": f"method number {number}"} for number in range(40)]
    first, second = status(plan | {"methods": many}, tmp_path / "x.csv").lines()
    assert first == "40 trials: 0 done, 40 missing, 0 stale"
    assert second == "  missing: method number 0 (1), method number 1 (1) and 38 more"
    assert len(second) < 79
