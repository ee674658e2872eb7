"""kinbits bench: rows, tables, and what is not run again."""

import csv
import json
from pathlib import Path

import yaml

EXPERIMENT = {
    "protocols": "folder:vectors.npz",
    "methods": [{"method": "lsh"}],
    "baselines": False,
    "bits": [8],
    "metrics": ["map@all"],
    "title": "Random planes",
}


def rows():
    return list(csv.DictReader(Path("results/planes.csv").read_text().splitlines()))


def test_bench_writes_rows_and_tables_and_runs_nothing_twice(run, vectors):
    Path("planes.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    ended = run("bench", "planes.yaml", "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert (told["rows"], told["failed"]) == (1, [])
    assert told["tables"] == ["results/planes.md", "results/planes.html"]
    assert Path("results/planes.md").read_text().startswith("# Random planes\n\nTies count with their expected value.")
    assert "1 trial: 1 done, 0 missing, 0 stale" in run("bench", "planes.yaml").err
    assert len(rows()) == 1


def test_check_runs_nothing_and_fails_while_a_trial_is_missing_or_stale(run, vectors):
    Path("planes.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    ended = run("bench", "planes.yaml", "--check")
    assert (ended.code, ended.out) == (1, "1 trial: 0 done, 1 missing, 0 stale\n  missing: lsh (1)\n")
    assert not Path("results").exists()
    run("bench", "planes.yaml")
    assert run("bench", "planes.yaml", "--check").code == 0
    path = Path("results/planes.csv")
    path.write_text(path.read_text().replace(rows()[0]["config"], "0" * 12))
    ended = run("bench", "planes.yaml", "--check", "--json")
    assert ended.code == 1
    assert json.loads(ended.out) == {
        "done": 0,
        "missing": [],
        "stale": ["folder:vectors.npz, lsh, 8 bits, seed 0"],
        "rows_of_no_trial": 0,
    }


def test_rows_of_no_trial_stay_until_they_are_pruned(run, vectors):
    Path("planes.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    run("bench", "planes.yaml")
    Path("planes.yaml").write_text(yaml.safe_dump({**EXPERIMENT, "methods": [{"method": "lsh", "label": "planes"}]}))
    assert "--prune removes them" in run("bench", "planes.yaml").err
    assert [row["method"] for row in rows()] == ["lsh", "planes"]
    ended = run("bench", "planes.yaml", "--tables", "--prune")
    assert "removed rows of no trial: 1" in ended.err
    assert "--prune" not in ended.err
    assert [row["method"] for row in rows()] == ["planes"]


def test_trials_that_fail_are_told_and_the_others_stay(run, vectors):
    Path("planes.yaml").write_text(yaml.safe_dump({**EXPERIMENT, "methods": ["lsh", "pca"], "bits": [64]}))
    ended = run("bench", "planes.yaml", "--json")
    assert ended.code == 3
    (failed,) = json.loads(ended.out)["failed"]
    assert failed["trial"].endswith("pca, 64 bits, seed 0")
    assert [row["method"] for row in rows()] == ["lsh"]


def test_some_methods_can_be_run_alone(run, vectors):
    several = {**EXPERIMENT, "methods": [{"method": "lsh"}, {"method": "pca"}, {"method": "itq"}]}
    Path("planes.yaml").write_text(yaml.safe_dump(several))
    assert run("bench", "planes.yaml", "--only", "itq", "--only", "lsh").code == 0
    assert sorted(row["method"] for row in rows()) == ["itq", "lsh"]
    ended = run("bench", "planes.yaml", "--only", "itq")
    assert "1 trial: 1 done, 0 missing, 0 stale" in ended.err
    ended = run("bench", "planes.yaml", "--check", "--only", "itq", "--only", "lsh")
    assert (ended.code, ended.out) == (0, "2 trials: 2 done, 0 missing, 0 stale\n")
    ended = run("bench", "planes.yaml", "--check", "--only", "pca")
    assert (ended.code, ended.out) == (1, "1 trial: 0 done, 1 missing, 0 stale\n  missing: pca (1)\n")
    assert run("bench", "planes.yaml", "--check", "--only", "itp").code == 2
    assert run("bench", "planes.yaml", "--tables", "--only", "itq").code == 2
    ended = run("bench", "planes.yaml", "--only", "itp")
    assert ended.code == 2
    assert "unknown method 'itp' of the experiment; did you mean itq?" in ended.err


def test_only_chooses_what_is_pruned(run, vectors):
    Path("planes.yaml").write_text(yaml.safe_dump({**EXPERIMENT, "methods": ["lsh", "pca"]}))
    run("bench", "planes.yaml")
    Path("planes.yaml").write_text(yaml.safe_dump({**EXPERIMENT, "methods": ["itq"]}))
    ended = run("bench", "planes.yaml", "--prune", "--only", "pca")
    assert "removed rows of no trial: 1" in ended.err
    assert [row["method"] for row in rows()] == ["lsh"]


def test_options_that_do_not_fit_together_are_refused_and_change_nothing(run, vectors):
    Path("planes.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    for option in ("--tables", "--prune"):
        ended = run("bench", "planes.yaml", "--check", option)
        assert ended.code == 2
        assert "--check changes nothing; give it without --tables and --prune" in ended.err
    ended = run("bench", "planes.yaml", "--tables")
    assert ended.code == 3
    assert "results/planes.csv has no rows yet; run the experiment first" in ended.err
    assert not Path("results").exists()
