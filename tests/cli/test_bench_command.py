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
    assert "1 trials, 1 of them done before" in run("bench", "planes.yaml").err
    assert len(rows()) == 1


def test_a_change_of_code_that_alters_no_number_is_accepted_on_demand(run, vectors):
    Path("planes.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    assert run("bench", "planes.yaml").code == 0
    path = Path("results/planes.csv")
    config = rows()[0]["config"]
    path.write_text(path.read_text().replace(config, config.partition("-")[0] + "-00000000"))
    ended = run("bench", "planes.yaml", "--accept-code")
    assert "rows of 1 trials count although their code has changed" in ended.err
    assert [row["config"] for row in rows()] == [config]


def test_trials_that_fail_are_told_and_the_others_stay(run, vectors):
    Path("planes.yaml").write_text(yaml.safe_dump({**EXPERIMENT, "methods": ["lsh", "pca"], "bits": [64]}))
    ended = run("bench", "planes.yaml", "--json")
    assert ended.code == 3
    (failed,) = json.loads(ended.out)["failed"]
    assert failed["trial"].endswith("pca, 64 bits, seed 0")
    assert [row["method"] for row in rows()] == ["lsh"]
