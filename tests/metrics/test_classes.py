"""Metrics of each class, worked out by hand."""

import numpy as np
import pytest

from kinbits import DataError, UsageError
from kinbits.metrics import LabelRelevance, MatrixRelevance, RankingResult, by_class, evaluate

NAN = float("nan")


def result(*values):
    return RankingResult({"precision@2": np.array(values)}, 0, {}, "expected")


def told(found):
    return {one.name: (one.queries, dict(one.values), dict(one.intervals)) for one in found}


def test_each_class_has_the_mean_of_its_own_queries():
    found = by_class(result(1.0, 0.5, 0.25, NAN, NAN), [2, 0, 2, 0, 1])
    assert told(found) == {
        "0": (1, {"precision@2": 0.5}, {}),
        "1": (0, {}, {}),  # its only query has no answer
        "2": (2, {"precision@2": 0.625}, {}),
    }


def test_a_query_with_several_labels_counts_in_each():
    labels = [[1, 0, 1], [0, 0, 1], [0, 0, 0]]
    found = by_class(result(1.0, 0.5, 0.25), labels, ["a", "b", "c"])
    assert {name: (queries, values) for name, (queries, values, _) in told(found).items()} == {
        "a": (1, {"precision@2": 1.0}),
        "c": (2, {"precision@2": 0.75}),
    }


def test_queries_without_a_label_are_in_no_class():
    assert list(told(by_class(result(1.0, 0.5), [-1, 3], ["a", "b", "c", "d"]))) == ["d"]


def test_the_interval_is_the_bootstrap_over_the_queries_of_the_class():
    """Five queries, one of which has 1 and the others 0: the resampled mean is binomial(5, 1/5) / 5."""
    (one, two) = by_class(result(1.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5), [0] * 5 + [1] * 4)
    # P(0) = 0.328 > 0.025; P(>= 4) = 0.0067 < 0.025 < P(>= 3) = 0.058
    assert one.intervals == {"precision@2": (0.0, 3 / 5)}
    assert two.intervals == {}  # of four queries there is none
    whole = result(1.0, 0.0, 0.0, 0.0, 0.0)
    assert one.intervals["precision@2"] == whole.interval("precision@2")
    (narrow,) = by_class(whole, [0] * 5, level=0.5, samples=4000, seed=3)
    assert narrow.intervals["precision@2"] == whole.interval("precision@2", level=0.5, samples=4000, seed=3)


def test_classes_of_a_real_ranking_average_to_the_whole():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 80)
    codes = rng.integers(0, 256, (80, 2), np.uint8)
    measured = evaluate(codes, codes, LabelRelevance(labels, labels), ["map@all", "precision@r2"])
    found = by_class(measured, labels, samples=50)
    assert [one.queries for one in found] == np.bincount(labels).tolist()
    for name in measured:
        mean = sum(one.queries * one.values[name] for one in found) / 80
        assert mean == pytest.approx(measured[name], abs=1e-12)


def test_labels_of_other_queries_and_impossible_draws_are_refused():
    with pytest.raises(DataError, match="but the result has 2 queries"):
        by_class(result(1.0, 0.5), [0, 1, 2])
    with pytest.raises(UsageError, match="level=2"):
        by_class(result(1.0, 0.5), [0, 1], level=2)
    measured = evaluate(np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8), MatrixRelevance([[True]]), ["mrr"])
    assert [one.name for one in by_class(measured, [0])] == ["0"]
