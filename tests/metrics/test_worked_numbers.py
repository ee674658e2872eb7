"""The numbers of the evaluation sheet, worked by hand there: one query, K = 4, eight items."""

import numpy as np
import pytest

from kinbits.metrics import (
    HierarchyRelevance,
    LabelRelevance,
    ListRelevance,
    MatrixRelevance,
    NeighbourRelevance,
    evaluate,
    evaluate_scores,
    precision_recall_curve,
)

DISTANCES = np.array([0, 1, 1, 1, 2, 2, 3, 4])
RELEVANT = MatrixRelevance(np.array([[1, 0, 1, 1, 0, 1, 0, 0]], bool))
QUERY = np.array([[0b1111_0000]], np.uint8)
CODES = np.array([[(0xF0 << d) & 0xF0] for d in DISTANCES], np.uint8)


# three labels; item i shares as many with the query as the grades (3, 0, 1, 2, 0, 1, 0, 0) say
GRADED = LabelRelevance([[1, 1, 1]], [[g > 0, g > 1, g > 2] for g in (3, 0, 1, 2, 0, 1, 0, 0)])


def graded(name, ties="expected"):
    return evaluate(QUERY, CODES, GRADED, [name], ties=ties)[name]


def in_order(count):
    """Codes of one query and ``count`` items, the i-th at distance i."""
    steps = np.arange(count)
    return np.zeros((1, 2), np.uint8), np.packbits(steps[:, None] > np.arange(16), axis=1)


def measured(name, ties="expected"):
    return evaluate(QUERY, CODES, RELEVANT, [name], ties=ties)[name]


@pytest.mark.parametrize(("ties", "expected"), [("expected", 0.863889), ("best", 0.95), ("worst", 0.770833)])
def test_average_precision(ties, expected):
    assert measured("map@all", ties) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "ties", "expected"),
    [
        ("precision@3", "expected", 0.777778),
        ("map@3", "expected", 0.740741),
        # the database order of the sheet's "stable" numbers happens to be the worst one inside rank 3 and 5
        ("precision@3", "worst", 0.666667),
        ("recall@3", "worst", 0.5),
        ("map@3", "worst", 0.555556),
        ("map@5", "worst", 0.604167),
    ],
)
def test_cut_lists(name, ties, expected):
    assert measured(name, ties) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("map@all", 0.770833),
        ("precision@3", 0.666667),
        ("recall@3", 0.5),
        ("map@3/retrieved", 0.833333),
        ("map@3/all", 0.416667),
        ("map@3/min", 0.555556),
        ("map@5/retrieved", 0.805556),
        ("map@5/all", 0.604167),
        ("map@5", 0.604167),
        ("hit@1", 1.0),
        ("mrr", 1.0),
        ("rprecision", 0.75),
    ],
)
def test_database_order_inside_ties(name, expected):
    assert measured(name, "stable") == pytest.approx(expected, abs=1e-6)


def test_the_true_three_neighbours_of_which_two_are_returned():
    neighbours = NeighbourRelevance([[0, 2, 3]], 8)
    found = evaluate(QUERY, CODES, neighbours, ["ann-recall@3", "1-recall@3"], ties="stable")
    assert found["ann-recall@3"] == pytest.approx(2 / 3)
    assert found["1-recall@3"] == 1.0


@pytest.mark.parametrize(
    ("name", "ties", "expected"),
    [
        ("ndcg@3", "stable", 0.798485),
        ("ndcg@5", "stable", 0.895003),
        ("ndcg@8", "stable", 0.931264),
        ("ndcg@all", "stable", 0.931264),
        ("ndcg@all", "expected", 0.962356),
        ("ndcg@all", "worst", 0.931264),
        ("ndcg@all", "best", 0.995539),
        ("acg@3", "stable", 1.333333),
        ("acg@5", "stable", 1.2),
        ("wmap@all", "stable", 1.75),
    ],
)
def test_graded_relevance(name, ties, expected):
    assert graded(name, ties) == pytest.approx(expected, abs=1e-6)


def test_the_trapezoid_rule_of_revisited_oxford_and_paris():
    query, codes = in_order(7)
    hits, names = [[0, 2, 3, 5]], ["map-revisited", "map@all"]
    assert evaluate(query, codes, ListRelevance(hits, 7), names)["map-revisited"] == pytest.approx(0.73125)
    without_junk = evaluate(query, codes, ListRelevance(hits, 7, junk=[[1]]), names)
    assert without_junk["map-revisited"] == pytest.approx(0.94375)
    assert without_junk["map@all"] == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("similarity", "hp", "mean", "trapezoid"),
    [
        ("height", [1, 0.75, 0.6, 1], 0.8375, 0.5875),
        ("wu-palmer", [1, 0.833333, 0.75, 1], 0.895833, 0.645833),
    ],
)
def test_hierarchical_precision(similarity, hp, mean, trapezoid):
    query, codes = in_order(4)  # cat, dog, car, cat for a cat
    relevance = HierarchyRelevance([0], [0, 1, 2, 0], [3, 3, 4, -1, -1], 3, similarity=similarity)
    found = evaluate(query, codes, relevance, [*(f"hp@{k}" for k in (1, 2, 3, 4)), "mahp@4", "mahp@4/trapezoid"])
    assert [found[f"hp@{k}"] for k in (1, 2, 3, 4)] == pytest.approx(hp, abs=1e-6)
    assert found["mahp@4"] == pytest.approx(mean, abs=1e-6)
    assert found["mahp@4/trapezoid"] == pytest.approx(trapezoid, abs=1e-6)


def test_every_radius():
    curve = precision_recall_curve(QUERY, CODES, RELEVANT)
    np.testing.assert_allclose(curve.precision[:5], [1, 0.75, 2 / 3, 4 / 7, 0.5])
    np.testing.assert_allclose(curve.recall[:5], [0.25, 0.75, 1, 1, 1])
    for radius in range(5):
        assert measured(f"precision@r{radius}") == pytest.approx(curve.precision[radius])
        assert measured(f"recall@r{radius}") == pytest.approx(curve.recall[radius])
        p, r = curve.precision[radius], curve.recall[radius]
        assert measured(f"f1@r{radius}") == pytest.approx(2 * p * r / (p + r))


def test_scores_in_the_same_order_give_the_same_numbers():
    noise = np.array([0, 1, -1, 0.5, 0, 1, 0, 0]) * 1e-8  # rounding errors must not break a tie
    scores = -DISTANCES[None] + noise
    names = ["map@all", "map@3", "precision@3", "recall@3"]
    by_score = evaluate_scores(lambda start, stop: scores[start:stop], RELEVANT, names)
    by_code = evaluate(QUERY, CODES, RELEVANT, names)
    assert dict(by_score) == pytest.approx(dict(by_code))
