"""The closed forms equal brute force over every order inside ties."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinbits.metrics import MatrixRelevance, evaluate, evaluate_scores, precision_recall_curve

CASES = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6).filter(
    lambda items: any(relevant for _, relevant in items)
)
NAMES = ["map@all", "map@1", "map@3", "map@9", "precision@1", "precision@4", "precision@9", "recall@3"]


def average_precision(ranked, k):
    hits = 0
    total = 0.0
    for rank, relevant in enumerate(ranked[:k], 1):
        hits += relevant
        total += relevant * hits / rank
    return total / min(sum(ranked), k)


def by_hand(name, ranked):
    family, cut = name.split("@")
    k = len(ranked) if cut == "all" else int(cut)
    if family == "map":
        return average_precision(ranked, k)
    return sum(ranked[:k]) / (k if family == "precision" else sum(ranked))


def every_order(items):
    """All rankings that sort by distance and differ inside ties only."""
    return [
        [relevant for _, relevant in order]
        for order in itertools.permutations(items)
        if all(a[0] <= b[0] for a, b in itertools.pairwise(order))
    ]


def as_codes(items):
    codes = np.array([[(1 << distance) - 1] for distance, _ in items], np.uint8)
    return np.zeros((1, 1), np.uint8), codes, MatrixRelevance(np.array([[r for _, r in items]]))


@settings(max_examples=60, deadline=None)
@given(CASES)
def test_expected_is_the_mean_best_the_maximum_worst_the_minimum(items):
    orders = every_order(items)
    for ties, reduce in (("expected", np.mean), ("best", np.max), ("worst", np.min)):
        found = evaluate(*as_codes(items), NAMES, ties=ties)
        for name in NAMES:
            assert found[name] == pytest.approx(reduce([by_hand(name, order) for order in orders]))


@settings(max_examples=30, deadline=None)
@given(CASES)
def test_the_order_of_the_database_does_not_matter(items):
    shuffled = list(reversed(items))
    assert dict(evaluate(*as_codes(items), NAMES)) == pytest.approx(dict(evaluate(*as_codes(shuffled), NAMES)))


@settings(max_examples=30, deadline=None)
@given(CASES)
def test_the_curve_by_rank_holds_the_metrics_at_its_ranks(items):
    arguments = as_codes(items)
    curve = precision_recall_curve(*arguments, by="rank", ranks=[1, 4])
    found = evaluate(*arguments, ["precision@1", "precision@4", "recall@1", "recall@4"])
    np.testing.assert_allclose(curve.precision, [found["precision@1"], found["precision@4"]])
    np.testing.assert_allclose(curve.recall, [found["recall@1"], found["recall@4"]])


def test_a_large_database_agrees_with_the_mean_over_seeded_shuffles():
    rng = np.random.default_rng(0)
    codes, query = rng.integers(0, 256, (3000, 2), dtype=np.uint8), np.zeros((1, 2), np.uint8)
    relevant = rng.random((1, 3000)) < 0.1
    near = np.unpackbits(codes, axis=1).sum(axis=1)
    shuffled = [average_precision(relevant[0][np.lexsort((rng.random(3000), near))].tolist(), 3000) for _ in range(50)]
    found = evaluate(query, codes, MatrixRelevance(relevant), ["map@all"])["map@all"]
    assert abs(found - np.mean(shuffled)) < 4 * np.std(shuffled) / np.sqrt(50)


def test_scores_without_ties_are_ranked_as_they_are():
    rng = np.random.default_rng(1)
    scores, relevant = rng.permutation(40)[None] / 7, rng.random((1, 40)) < 0.4
    ranked = relevant[0][np.argsort(-scores[0])].tolist()
    found = evaluate_scores(lambda start, stop: scores[start:stop], MatrixRelevance(relevant), NAMES)
    for name in NAMES:
        assert found[name] == pytest.approx(by_hand(name, ranked))
