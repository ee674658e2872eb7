"""The numbers of the evaluation sheet, worked by hand there: one query, K = 4, eight items."""

import numpy as np
import pytest

from kinbits.metrics import MatrixRelevance, evaluate, evaluate_scores, precision_recall_curve

DISTANCES = np.array([0, 1, 1, 1, 2, 2, 3, 4])
RELEVANT = MatrixRelevance(np.array([[1, 0, 1, 1, 0, 1, 0, 0]], bool))
QUERY = np.array([[0b1111_0000]], np.uint8)
CODES = np.array([[(0xF0 << d) & 0xF0] for d in DISTANCES], np.uint8)


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


def test_every_radius():
    curve = precision_recall_curve(QUERY, CODES, RELEVANT)
    np.testing.assert_allclose(curve.precision[:5], [1, 0.75, 2 / 3, 4 / 7, 0.5])
    np.testing.assert_allclose(curve.recall[:5], [0.25, 0.75, 1, 1, 1])
    for radius in range(5):
        assert measured(f"precision@r{radius}") == pytest.approx(curve.precision[radius])
        assert measured(f"recall@r{radius}") == pytest.approx(curve.recall[radius])


def test_scores_in_the_same_order_give_the_same_numbers():
    noise = np.array([0, 1, -1, 0.5, 0, 1, 0, 0]) * 1e-8  # rounding errors must not break a tie
    scores = -DISTANCES[None] + noise
    names = ["map@all", "map@3", "precision@3", "recall@3"]
    by_score = evaluate_scores(lambda start, stop: scores[start:stop], RELEVANT, names)
    by_code = evaluate(QUERY, CODES, RELEVANT, names)
    assert dict(by_score) == pytest.approx(dict(by_code))
