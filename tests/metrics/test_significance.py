"""Intervals cover what they should, and the paired test knows luck from merit."""

import numpy as np
import pytest
from scipy import stats

from kinbits.errors import DataError, UsageError
from kinbits.metrics import PairedTest, RankingResult, compare, compare_many


def result(values):
    return RankingResult({"map@all": np.asarray(values, float)}, 0, {}, "expected")


def test_the_interval_is_the_usual_one_for_many_queries():
    values = np.random.default_rng(0).beta(2, 3, 800)
    low, high = result(values).interval("map@all")
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_nine_of_ten_intervals_hold_the_true_mean():
    rng = np.random.default_rng(1)
    intervals = [result(rng.random(60)).interval("map@all", level=0.9, samples=400) for _ in range(300)]
    assert 0.85 < np.mean([low < 0.5 < high for low, high in intervals]) < 0.95


def test_excluded_queries_are_in_no_interval():
    values = np.random.default_rng(2).random(50)
    with_holes = np.concatenate([values, np.full(30, np.nan)])
    assert result(with_holes).interval("map@all") == result(values).interval("map@all")


def test_an_interval_is_repeated_by_its_seed():
    one = result(np.random.default_rng(3).random(50))
    assert one.interval("map@all", seed=5) == one.interval("map@all", seed=5) != one.interval("map@all", seed=6)


def test_the_p_value_is_that_of_the_exact_test():
    gaps = np.random.default_rng(4).normal(0.3, 1, 10)
    exact = stats.permutation_test(
        (gaps, np.zeros(10)), lambda a, b, axis: (a - b).mean(axis=axis), permutation_type="samples", vectorized=True
    ).pvalue
    found = compare(result(gaps), result(np.zeros(10)), "map@all", samples=40_000)
    assert found.p_value == pytest.approx(exact, abs=0.01)
    assert found.difference == pytest.approx(gaps.mean())


def test_equal_results_are_not_called_different_and_steady_gains_are():
    values = np.random.default_rng(5).random(200)
    assert compare(result(values), result(values), "map@all").p_value == 1.0
    better = compare(result(values + 0.01), result(values), "map@all")
    assert better.p_value < 0.001
    assert better.low == pytest.approx(0.01)


def test_luck_is_called_significant_as_rarely_as_it_should():
    rng = np.random.default_rng(6)
    p_values = [
        compare(result(rng.random(40)), result(rng.random(40)), "map@all", samples=400).p_value for _ in range(300)
    ]
    assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.09


def test_several_comparisons_are_corrected_by_holm():
    rng = np.random.default_rng(7)
    best = rng.random(60)
    others = best - np.array([[0.004], [0.02], [0.012], [0.0]]) + 0.05 * rng.normal(size=(4, 60))
    alone = [compare(result(best), result(other), "map@all").p_value for other in others]
    assert np.argsort(alone).tolist() == [1, 2, 0, 3]
    assert alone[1] < 0.05 / 4  # holds after correction
    by_hand = [4 * alone[1]]
    for factor, row in ((3, 2), (2, 0), (1, 3)):
        by_hand.append(min(1.0, max(by_hand[-1], factor * alone[row])))
    assert compare_many(best, others)[[1, 2, 0, 3]] == pytest.approx(by_hand)


def test_queries_that_do_not_count_are_left_out_of_several_comparisons():
    best, others = np.array([0.9, 0.8, 0.7, 0.9]), np.array([[0.1, 0.2, 0.1, 0.3]])
    padded = np.append(best, np.nan), np.append(others, [[np.nan]], axis=1)
    assert compare_many(*padded) == compare_many(best, others) == pytest.approx([2 / 16], abs=0.01)
    with pytest.raises(DataError, match="count different queries"):
        compare_many(padded[0], np.append(others, [[0.5]], axis=1))


def test_one_query_is_named_in_the_singular():
    assert str(PairedTest("map@all", 0.5, 0.5, 0.5, 1.0, 1)).endswith(", 1 query")
    assert str(PairedTest("map@all", 0.5, 0.5, 0.5, 1.0, 2)).endswith(", 2 queries")


def test_results_on_other_queries_cannot_be_compared():
    one = result([0.5, np.nan, 0.5])
    for other in (result([0.5, 0.5, 0.5]), result([0.5, 0.5])):
        with pytest.raises(DataError, match="count different queries"):
            compare(one, other, "map@all")
    with pytest.raises(UsageError, match="unknown metric 'mrr' of both results"):
        compare(one, one, "mrr")
    with pytest.raises(UsageError, match="unknown metric 'mrr' of this result"):
        one.interval("mrr")
    for wrong in ({"level": 1.0}, {"samples": 0}):
        with pytest.raises(UsageError, match="between 0 and 1"):
            one.interval("map@all", **wrong)
        with pytest.raises(UsageError, match="between 0 and 1"):
            compare(one, one, "map@all", **wrong)


@pytest.mark.parametrize(
    ("values", "others", "told"),
    [
        ([0.5], [0.1], r"the values are \(1,\) and those of others \(1,\); give \(q,\) and \(k, q\)"),
        ([0.5, 0.2], [[0.1]], "count different queries"),
        ([0.5, np.nan], [[0.1, 0.2]], "count different queries"),
        ([0.5, np.inf], [[0.1, 0.2]], "infinite"),
    ],
)
def test_values_that_cannot_be_compared_are_named(values, others, told):
    with pytest.raises(DataError, match=told):
        compare_many(values, others)


def test_lists_are_compared_as_arrays_are():
    values, others = [0.5, 0.2, 0.9], [[0.1, 0.3, 0.4]]
    assert compare_many(values, others) == compare_many(np.array(values), np.array(others))
