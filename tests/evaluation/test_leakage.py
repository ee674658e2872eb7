"""A model that was trained on queries: its numbers are too good, so they are marked and not kept."""

import numpy as np
import pytest

import kinbits
from kinbits.data import open_dataset, split_folder
from kinbits.evaluation import leakage

OPTIONS = {"method": "itq", "bits": 8, "progress": False, "cache": None}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return open_dataset(rng.normal(size=(240, 16)).astype(np.float32), labels=np.arange(240) % 3)


def fitted_on(part):
    return kinbits.fit(part, **OPTIONS)


def test_the_training_part_of_the_split_is_no_leak(data):
    for seed in (0, 3):
        splits = split_folder(data, seed=seed)
        assert leakage(fitted_on(splits.train), splits) == ""


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (lambda data, splits: data, "all of {name}, the queries among them"),
        (lambda data, splits: splits.query, "the queries"),
        (
            lambda data, splits: split_folder(data, seed=0).train,
            "the training part that seed 0 draws of {name}, which holds some of the queries",
        ),
    ],
)
def test_what_a_model_was_trained_on_by_mistake_is_named(data, part, told):
    splits = split_folder(data, seed=3)
    assert leakage(fitted_on(part(data, splits)), splits) == told.format(name=data.name)


def test_images_that_hold_no_query_are_no_leak(data):
    splits = split_folder(data, seed=3)
    assert leakage(fitted_on(splits.database), splits) == ""


def test_some_of_the_queries_among_other_images_are_not_found(data):
    splits = split_folder(data, seed=3)
    some = np.flatnonzero(np.isin(data.ids, splits.query.ids))[: len(splits.query) // 2]
    others = np.flatnonzero(np.isin(data.ids, splits.train.ids))
    assert leakage(fitted_on(data.select(np.concatenate([some, others]))), splits) == ""


def test_shares_that_are_not_the_usual_ones_are_judged_by_their_queries(data):
    splits = split_folder(data, seed=0, query=0.4)
    shown = leakage(fitted_on(split_folder(data).train), splits)
    assert shown.endswith("which holds some of the queries")


def test_evaluate_warns_says_it_in_the_report_and_the_numbers_are_not_kept(data):
    splits = split_folder(data)
    model = fitted_on(data)
    with pytest.warns(UserWarning, match=f"itq was trained on all of {data.name}, the queries among them"):
        report = kinbits.evaluate(model, splits, metric_names=["map@all"], baselines=False)
    assert report.trained_on_queries
    assert "itq was trained on all of" in " ".join(str(report).split())
    with pytest.raises(kinbits.UsageError, match="trained on queries of folder, so these numbers are not stored"):
        report.record(model)
    assert model.metrics == {}


def test_a_compared_model_that_leaks_does_not_forbid_to_keep_the_numbers_of_the_first(data):
    splits = split_folder(data)
    honest, leaking = fitted_on(splits.train), fitted_on(data)
    with pytest.warns(UserWarning, match=r"itq, 8 bits \(model 2\) was trained on all of"):
        report = kinbits.evaluate(honest, splits, metric_names=["map@all"], baselines=False, compare_with=[leaking])
    report.record(honest)
    assert honest.metrics["folder"] == {"map@all": report.rows[0].values["map@all"]}
