"""Experiments: the runs that a file asks for, each once, whatever interrupts the work; and their tables."""

import csv
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import kinbits
from kinbits.bench import Comparison, Experiment, bench, document, measure, page, provenance, runner
from kinbits.bench.sources import code_of, source_digest
from kinbits.data import split_folder
from kinbits.errors import ArtefactError, DataError, UsageError


@pytest.fixture
def small(tmp_path):
    """Labelled vectors in a file, as a protocol, and an experiment on it."""
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 4
    vectors = rng.normal(size=(4, 24))[labels] + 0.6 * rng.normal(size=(160, 24))
    np.savez(tmp_path / "data.npz", vectors=vectors.astype(np.float32), labels=labels)
    return {
        "protocols": f"folder:{tmp_path / 'data.npz'}",
        "methods": ["orthohash", {"method": "hashnet", "training": {"epochs": 2}}],
        "bits": [8, 16],
        "seeds": [0, 1],
        "metrics": ["map@all", "precision@r2"],
        "training": {"epochs": 3},
    }


def made(given):
    return Experiment.from_dict(given)


def test_every_method_gets_every_length_and_seed_and_baselines_stand_beside(small, tmp_path):
    results, failures = bench(made(small), tmp_path / "r" / "x.csv")
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


def test_what_is_done_is_not_done_again(small, tmp_path, monkeypatch):
    small |= {"methods": ["orthohash"], "baselines": False}
    path = tmp_path / "x.csv"
    bench(made(small), path)
    before = path.read_text()
    monkeypatch.setattr(runner, "measure", lambda run: pytest.fail(f"{run} was made again"))
    bench(made(small), path)
    assert path.read_text() == before


def test_more_seeds_and_other_settings_are_new_runs(small, tmp_path):
    small |= {"methods": ["orthohash"], "baselines": False, "bits": [8], "seeds": [0]}
    path = tmp_path / "x.csv"
    bench(made(small), path)
    for change in ({"seeds": [0, 1]}, {"training": {"epochs": 4}}, {"metrics": small["metrics"]}):
        bench(made(small | change), path)
    assert len(path.read_text().splitlines()) == 1 + 3


def test_a_run_killed_while_it_was_written_is_made_again(small, tmp_path):
    small |= {"methods": ["orthohash"], "baselines": False, "bits": [8]}
    path = tmp_path / "x.csv"
    bench(made(small), path)
    whole = path.read_text()
    path.write_text(whole[:-70])
    results, _ = bench(made(small), path)
    assert [row["seed"] for row in results] == ["0", "1"]
    assert len(list(csv.DictReader(path.read_text().splitlines()))) == 2


def test_a_run_that_fails_is_named_and_the_others_are_made(small, tmp_path):
    small |= {"methods": ["pca", "lsh"], "baselines": False, "bits": [16, 32], "seeds": [0]}
    told = []
    results, failures = bench(made(small), tmp_path / "x.csv", tell=told.append)
    assert [(one.run.entry.method, one.run.bits) for one in failures] == [("pca", 32)]
    assert {(row["method"], row["bits"]) for row in results} == {("pca", "16"), ("lsh", "16"), ("lsh", "32")}
    assert any("FAILED" in line and "pca" in line for line in told)


def test_a_fault_in_a_method_does_not_stop_the_others(small, tmp_path, monkeypatch):
    def broken(run):
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr(runner, "measure", broken)
    small |= {"methods": ["lsh"], "baselines": False, "bits": [8], "seeds": [0]}
    results, failures = bench(made(small), tmp_path / "x.csv")
    assert len(results) == 0
    assert failures[0].reason == "ZeroDivisionError: no such luck"


@pytest.mark.slow
def test_jobs_side_by_side_give_the_same_numbers(small, tmp_path):
    small |= {"baselines": False, "bits": [8]}
    numbers = {}
    for jobs in (1, 2):
        results, failures = bench(made(small), tmp_path / f"{jobs}.csv", jobs=jobs)
        assert not failures
        numbers[jobs] = sorted((row["method"], row["seed"], row["map@all"]) for row in results)
    assert numbers[1] == numbers[2]


def test_early_stopping_and_model_selection_never_see_the_queries(small, tmp_path, monkeypatch):
    """The best epoch is chosen on a part of train: while a model is fitted, no query and no database row is read."""
    splits = measure.splits_of(small["protocols"])
    seen, fit = [], measure.fit

    def watched(data, **options):
        seen.append(set(data.ids.tolist()))
        with monkeypatch.context() as inside:
            inside.setattr(measure, "load_protocol", lambda name: pytest.fail("the protocol was opened while fitting"))
            model = fit(data, **options)
        assert model.training["best_epoch"] is not None
        return model

    monkeypatch.setattr(measure, "fit", watched)
    small |= {"methods": ["orthohash"], "baselines": False, "bits": [8], "seeds": [0]}
    small["training"] = {"epochs": 4, "validation": 0.2, "patience": 2}
    bench(made(small), tmp_path / "x.csv")
    others = set(splits.query.ids.tolist()) | set(splits.database.ids.tolist())
    assert len(seen) == 1
    assert not seen[0] & others


def test_other_queries_change_no_model(small, tmp_path):
    """The codes that a run learns are the same, whatever the query images and their labels are."""
    from kinbits import fit

    splits = measure.splits_of(small["protocols"])
    options = {"bits": 8, "epochs": 4, "validation": 0.2, "progress": False, "cache": None}
    before = fit(splits.train, **options)
    splits.query.labels[:] = 0
    assert fit(splits.train, **options).fingerprint == before.fingerprint
    measure.splits_of.cache_clear()


def test_results_of_another_experiment_are_not_mixed_in(small, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ArtefactError, match="a, b"):
        bench(made(small), path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"method": ["lsh"]}, "methods"),
        ({"methods": []}, "'methods' is missing"),
        ({"methods": ["ortohash"]}, "orthohash"),
        ({"methods": [{"name": "lsh"}]}, "write a name"),
        ({"methods": [{"method": "lsh", "parms": {}}]}, "params"),
        ({"methods": [{"method": "orthohash", "params": {"scal": 1}}]}, "scale"),
        ({"methods": ["orthohash", "orthohash"]}, "another `label`"),
        ({"bits": ["16"]}, "whole numbers"),
        ({"seeds": [-1]}, "whole numbers"),
        ({"metrics": ["map"]}, "map@1000"),
        ({"training": {"epoch": 3}}, "epochs"),
        ({"training": {"lr": -1}}, "positive"),
        ({"training": {"seed": 3}}, "seed"),
        ({"finetune": True}, "baselines: false"),
        ({"protocols": 3}, "protocols is 3; give text"),
        ({"metrics": [2]}, "metrics is 2; give text"),
        ({"image_size": "big"}, "image_size is 'big'; give a whole number"),
        ({"training": {"lr": "fast"}}, "lr is 'fast'; give a number"),
        ({"training": {"epochs": [3]}}, "epochs is .3.; give a whole number"),
        ({"training": {"optimizer": "sdg"}}, "optimizer is 'sdg'; give one of adam, adamw, sgd"),
        ({"training": 3}, "training is 3; give `name: value` pairs"),
        ({"methods": [{"method": 3}]}, "method is 3; give text"),
        ({"methods": [{"method": "lsh", "training": [1]}]}, "training is .1.; give `name: value` pairs"),
        ({"methods": [{"method": "orthohash", "params": {"scale": "x"}}]}, "scale is 'x'; give a number"),
        ({"methods": [{"method": "lsh", "labels-fraction": "few"}]}, "labels_fraction is 'few'; give a number"),
    ],
)
def test_a_mistake_in_the_file_is_named_before_anything_runs(small, tmp_path, change, told):
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(small | change))
    with pytest.raises(UsageError, match=told):
        Experiment.from_file(path)


def test_numbers_that_yaml_takes_for_text_are_numbers(small):
    given = yaml.safe_load("{lr: 1e-3, weight_decay: 0}")
    assert given["lr"] == "1e-3"
    (run, *_) = made(small | {"baselines": False, "training": given}).runs()
    assert run.training == {"lr": 0.001, "weight_decay": 0}


@pytest.mark.parametrize("text", ["- a", "a: [", "[" * 5000, "", "!!python/object/apply:os.system ['true']"])
def test_a_file_that_is_no_experiment_is_refused(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"x\.yaml"):
        Experiment.from_file(path)
    with pytest.raises(UsageError, match=r"cannot read"):
        Experiment.from_file(tmp_path / "none.yaml")


def test_no_job_and_no_data_are_refused(small, tmp_path):
    with pytest.raises(UsageError, match="jobs=0"):
        bench(made(small), tmp_path / "x.csv", jobs=0)
    with pytest.raises(DataError):
        bench(made(small | {"protocols": f"folder:{tmp_path}/none"}), tmp_path / "x.csv")


def row(method, bits, seed, value):
    place = {"protocol": "p", "backbone": "b", "direction": "image to image"}
    return place | {"method": method, "bits": bits, "seed": seed, "map@all": value}


def test_tables_show_mean_deviation_and_interval_and_the_best_in_bold():
    rows = [row("a", "16", s, v) for s, v in zip("012", ("0.5", "0.6", "0.7"), strict=True)]
    rows += [row("b", "16", "0", "0.4"), row("a", "8", "0", "0.1"), row("features", "float", "0", "0.9")]
    (table,) = Comparison.all(rows, "map@all")
    assert table.bits == ("8", "16")
    cells = dict(table.rows)
    assert (cells["a"][1].mean, cells["a"][1].deviation) == pytest.approx((0.6, 0.1))
    assert cells["a"][1].halfwidth == pytest.approx(4.302653 * 0.1 / 3**0.5)  # Student's t with 2 degrees of freedom
    assert [cell and cell.best for cell in cells["a"]] == [True, True]
    assert cells["b"][0] is None
    lines = table.markdown().splitlines()
    assert "| a | **0.100** | **0.600 ± 0.100** |" in lines
    assert "| b | - | 0.400 |" in lines
    assert "| features | 0.900 | 0.900 |" in lines  # what has no bits stands in every column, and wins no prize


def test_the_page_needs_nothing_from_elsewhere_and_escapes_names():
    found = Comparison.all([row("<b>x</b>", "8", "0", "0.5")], "map@all")
    shown = page("<t>", found, "note")
    assert "<b>x" not in shown
    assert "&lt;b&gt;x" in shown
    assert "http" not in shown
    assert "<script" not in shown
    assert document("t", found, "note").startswith("# t\n\nnote\n\n**p, b: tie-aware map@all**")


def test_memory_is_measured_for_each_run_anew():
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("the system does not let a process forget its peak")
    big = np.ones(30_000_000)
    del big
    high = measure._peak()
    measure._forget_peak()
    assert measure._peak() < high


def test_one_method_can_stand_there_with_several_shares_of_labels_and_expansions(small, tmp_path):
    few = {"method": "orthohash", "labels-fraction": 0.1}
    grown = {**few, "label-expansion": "prl", "expansion-params": {"steps": 20, "stop": 0.0}}
    small |= {"methods": ["orthohash", few, grown], "baselines": False, "bits": [8], "seeds": [0]}
    results, failures = bench(made(small), tmp_path / "x.csv")
    assert not failures
    labels = [row["method"] for row in results]
    assert labels[:2] == ["orthohash", "orthohash (labels_fraction=0.1)"]
    assert labels[2].startswith("orthohash (labels_fraction=0.1, label_expansion=prl")
    assert len({row["config"] for row in results}) == 3


OWN = """
import torch
from kinbits.heads import LinearBatchNorm
from kinbits.methods import Method, Recipe, register

@register("of-a-user")
class OfAUser(Method):
    \"\"\"A method in a file.\"\"\"

    supervision = "none"
    recipe = Recipe(epochs=1, batch_size=32)

    def __init__(self, spec):
        super().__init__(spec)
        self.head = LinearBatchNorm(spec.feature_dim, spec.bits)

    def loss(self, batch, logits):
        return {"size": (logits - 1).square().mean()}  # a pull
"""


def test_a_method_file_that_has_changed_is_run_again_and_its_last_numbers_count(small, tmp_path):
    file, path = tmp_path / "of_a_user.py", tmp_path / "x.csv"
    small |= {"methods": [str(file)], "baselines": False, "bits": [8], "seeds": [0], "training": {}}
    rows = []
    for text in (OWN, OWN.replace("a pull", "another comment"), OWN.replace("logits - 1", "logits + 1"), OWN):
        file.write_text(text)
        results, failures = bench(made(small), path)
        assert not failures
        rows.append(len(results))
    assert rows == [1, 1, 2, 2]
    (table,) = Comparison.all(
        [dict(row, **{"map@all": value}) for row, value in zip(results, "01", strict=True)], "map@all"
    )
    assert table.rows[0][1][0].values == (1.0,)


def test_a_row_of_a_users_file_from_before_its_code_was_noted_is_made_again(small, tmp_path):
    file = tmp_path / "of_a_user.py"
    file.write_text(OWN)
    (run,) = made(small | {"methods": [str(file)], "baselines": False, "bits": [8], "seeds": [0]}).runs()
    assert run.configs == {run.config}
    assert run.config.startswith(run.settings + "-")


def test_a_built_in_method_that_has_changed_is_run_again_and_rows_without_its_code_stay(small, tmp_path, monkeypatch):
    path = tmp_path / "x.csv"
    small |= {
        "methods": [{"method": "hashnet", "training": {"epochs": 1}}],
        "baselines": False,
        "bits": [8],
        "seeds": [0],
    }
    bench(made(small), path)
    text = path.read_text()
    (run,) = made(small).runs()
    config = run.config
    assert f",{config}," in text
    module = sys.modules["kinbits.methods.hashnet"]
    changed = tmp_path / "hashnet.py"
    changed.write_text(Path(module.__file__).read_text() + "\nSCALE = 2\n")
    monkeypatch.setattr(module, "__file__", str(changed))
    assert len(bench(made(small), path)[0]) == 2
    path.write_text(text.replace(config, run.settings))
    assert len(bench(made(small), path)[0]) == 1


def test_the_code_of_methods_inside_a_method_counts(tmp_path):
    file = tmp_path / "of_a_user.py"

    def digest(text, **used):
        file.write_text(text)
        return source_digest(**{"method": "orthohash", "params": {}, "pretrain": None, "expansion": None} | used)

    changed = OWN.replace("logits - 1", "logits + 1")
    for used in ({"pretrain": str(file)}, {"params": {"base": str(file)}}):
        assert digest(OWN, **used) != digest(changed, **used)
        assert digest(OWN) == digest(changed) != digest(OWN, **used)
    assert digest(OWN) != digest(OWN, expansion="prl")
    assert source_digest("nmlayer", {}, pretrain=None, expansion=None) != source_digest(
        "nmlayer", {"base": "dpsh"}, pretrain=None, expansion=None
    )


def test_code_is_what_runs():
    code = code_of('"""Text."""\n\n\ndef f(x):  # why\n    """Text."""\n    return (x\n            + 1)\n')
    assert code == code_of("'Other.'\ndef f(x):\n    'Other.'\n    return x + 1")
    assert code != code_of("'Other.'\ndef f(x):\n    'Other.'\n    return x + 2")


def test_runs_that_ask_nothing_about_labels_keep_their_hash(small):
    run = next(iter(made(small | {"baselines": False}).runs()))
    told = dataclasses.asdict(run)
    told["entry"] = {name: told["entry"][name] for name in ("method", "params", "training")}
    assert run.settings == hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:12]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"labels-fraction": 2}, "above 0 and up to 1"),
        ({"label-expansion": "plr"}, "did you mean prl"),
        ({"label-expansion": "prl", "expansion-params": {"round": 1}}, "did you mean rounds"),
        ({"expansion-params": {"rounds": 1}}, "need a label-expansion"),
        ({"labels-fracton": 0.1}, "did you mean labels-fraction"),
    ],
)
def test_wrong_settings_of_labels_are_named_before_any_run(small, given, told):
    with pytest.raises(UsageError, match=told):
        made(small | {"methods": [{"method": "orthohash", **given}]})


def test_a_commit_is_marked_where_code_differs_and_not_where_results_grow(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)

    def commit():
        provenance.provenance.cache_clear()
        return provenance.provenance()["commit"]

    code, results = tmp_path / "src" / "module.py", tmp_path / "results" / "table.csv"
    for path in (code, results):
        path.parent.mkdir()
        path.write_text("1")
    monkeypatch.setattr(provenance, "HERE", code.parent)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    clean = commit()
    assert len(clean) >= 7
    results.write_text("2")
    assert commit() == clean
    code.write_text("2")
    assert commit() == f"{clean}-dirty"
    provenance.provenance.cache_clear()


def test_pairs_of_images_and_texts_are_not_measured_by_what_reads_no_text(small, tmp_path, monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(40, 24)).astype(np.float32)
    pairs = split_folder(kinbits.open_dataset(vectors, texts=[f"number {row}" for row in range(40)]))
    monkeypatch.setattr(measure, "splits_of", lambda protocol: pairs)
    (first, *_) = made(small | {"methods": ["itq"], "baselines": False}).runs()
    with pytest.raises(DataError, match="'itq' reads no text"):
        measure.measure(first)
