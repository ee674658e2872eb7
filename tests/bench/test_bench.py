"""Experiments: the trials that a file asks for, each once, whatever interrupts the work."""

import pytest

import kinbits
from kinbits.bench import Experiment, bench
from kinbits.errors import ArtefactError, DataError, UsageError
from kinbits.methods import get_method


def made(given):
    return Experiment.from_dict(given)


def test_every_method_gets_every_length_and_seed_and_baselines_stand_beside(small, tmp_path):
    ran = bench(made(small), tmp_path / "r" / "x.csv")
    results, failures = ran.results, ran.failures
    assert not failures
    runs = {(row["method"], row["bits"], row["seed"]) for row in results}
    names = ["lsh", "pca", "pca-rotation", "itq", "orthohash", "hashnet"]
    assert runs == {(m, b, s) for m in names for b in ("8", "16") for s in "01"} | {("features (cosine)", "float", "0")}
    for row in results:
        assert 0 <= float(row["map@all"]) <= 1
        assert row["split_checksum"]
        assert row["commit"]
        assert int(row["peak_mb"]) > 50
        assert float(row["seconds"]) >= 0
    assert {row["precision@r2"] for row in results if row["bits"] == "float"} == {""}
    versions = {row["method"]: (row["version"], row["method_version"]) for row in results}
    assert versions["orthohash"] == (kinbits.__version__, str(get_method("orthohash").version))
    assert versions["features (cosine)"] == (kinbits.__version__, "")


def test_more_seeds_are_new_runs_and_other_settings_replace_rows(small, tmp_path):
    small |= {"methods": ["orthohash"], "baselines": False, "bits": [8], "seeds": [0]}
    path = tmp_path / "x.csv"
    sizes = []
    for change in ({}, {"seeds": [0, 1]}, {"training": {"epochs": 4}}):
        results = bench(made(small | change), path).results
        sizes.append(len(results))
    assert sizes == [1, 2, 2]
    assert [row["config"] for row in results] != [trial.config for trial in made(small | {"seeds": [0, 1]}).trials()]


def test_a_run_that_fails_is_named_and_the_others_are_made(small, tmp_path):
    small |= {"methods": ["pca", "lsh"], "baselines": False, "bits": [16, 32], "seeds": [0]}
    told = []
    ran = bench(made(small), tmp_path / "x.csv", tell=told.append)
    results, failures = ran.results, ran.failures
    assert [(one.trial.entry.method, one.trial.bits) for one in failures] == [("pca", 32)]
    assert {(row["method"], row["bits"]) for row in results} == {("pca", "16"), ("lsh", "16"), ("lsh", "32")}
    assert any("FAILED" in line and "pca" in line for line in told)


@pytest.mark.slow
def test_jobs_side_by_side_give_the_same_numbers(small, tmp_path):
    small |= {"baselines": False, "bits": [8]}
    numbers = {}
    for jobs in (1, 2):
        ran = bench(made(small), tmp_path / f"{jobs}.csv", jobs=jobs)
        results, failures = ran.results, ran.failures
        assert not failures
        numbers[jobs] = sorted((row["method"], row["seed"], row["map@all"]) for row in results)
    assert numbers[1] == numbers[2]


def test_results_of_another_experiment_are_not_mixed_in(small, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ArtefactError, match="a, b"):
        bench(made(small), path)


def test_no_job_and_no_data_are_refused(small, tmp_path):
    with pytest.raises(UsageError, match="jobs=0"):
        bench(made(small), tmp_path / "x.csv", jobs=0)
    with pytest.raises(DataError):
        bench(made(small | {"protocols": f"folder:{tmp_path}/none"}), tmp_path / "x.csv")


def test_one_method_can_stand_there_with_several_shares_of_labels_and_expansions(small, tmp_path):
    few = {"method": "orthohash", "labels-fraction": 0.1}
    grown = {**few, "label-expansion": "prl", "expansion-params": {"steps": 20, "stop": 0.0}}
    small |= {"methods": ["orthohash", few, grown], "baselines": False, "bits": [8], "seeds": [0]}
    ran = bench(made(small), tmp_path / "x.csv")
    results, failures = ran.results, ran.failures
    assert not failures
    labels = [row["method"] for row in results]
    assert labels[:2] == ["orthohash", "orthohash (labels_fraction=0.1)"]
    assert labels[2].startswith("orthohash (labels_fraction=0.1, label_expansion=prl")
    assert len({row["config"] for row in results}) == 3
