"""The closed forms equal brute force over every order inside ties, and shuffles where there are too many orders."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_metrics import measure

from kinbits import hamming
from kinbits.metrics import (
    HierarchyRelevance,
    LabelRelevance,
    MatrixRelevance,
    NeighbourRelevance,
    evaluate,
    evaluate_scores,
    precision_recall_curve,
)

CASES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6).filter(
    lambda items: any(grade for _, grade in items)
)
LISTS = [f"{family}@{k}" for family in ("map", "precision", "recall", "hit", "ndcg", "acg", "wmap") for k in (1, 3, 9)]
NAMES = [
    *LISTS,
    "map@all",
    "map@3/all",
    "map@3/retrieved",
    "mrr",
    "rprecision",
    "map-revisited",
    "ndcg@all",
    "wmap@all",
]


def every_order(items):
    """All rankings that sort by distance and differ inside ties only."""
    return [
        [grade for _, grade in order]
        for order in itertools.permutations(items)
        if all(a[0] <= b[0] for a, b in itertools.pairwise(order))
    ]


def as_codes(items):
    """One query that shares as many of three labels with each item as its grade says."""
    codes = np.array([[(1 << distance) - 1] for distance, _ in items], np.uint8)
    labels = [[grade > place for place in range(3)] for _, grade in items]
    return np.zeros((1, 1), np.uint8), codes, LabelRelevance([[1, 1, 1]], labels)


@settings(max_examples=60, deadline=None)
@given(CASES)
def test_expected_is_the_mean_best_the_maximum_worst_the_minimum(items):
    orders = every_order(items)
    for ties, reduce in (("expected", np.mean), ("best", np.max), ("worst", np.min)):
        found = evaluate(*as_codes(items), NAMES, ties=ties)
        for name in NAMES:
            if name.endswith("retrieved") and ties != "expected":
                continue  # fewer hits found may raise it, so relevant first is not its best order
            assert found[name] == pytest.approx(reduce([measure(name, order) for order in orders])), (name, ties)


@settings(max_examples=40, deadline=None)
@given(CASES)
def test_database_order_is_what_a_stable_sort_gives(items):
    ranked = [grade for _, grade in sorted(items, key=lambda item: item[0])]
    found = evaluate(*as_codes(items), NAMES, ties="stable")
    for name in NAMES:
        assert found[name] == pytest.approx(measure(name, ranked)), name


CLASSES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=2, max_size=6).filter(
    lambda items: any(label == 0 for _, label in items)
)


@settings(max_examples=40, deadline=None)
@given(CLASSES)
def test_hierarchical_precision_is_the_mean_over_all_orders(items):
    similarity = {0: 1.0, 1: 0.5, 2: 0.0}
    orders = every_order([(distance, similarity[label]) for distance, label in items])
    codes = np.array([[(1 << distance) - 1] for distance, _ in items], np.uint8)
    relevance = HierarchyRelevance([0], [label for _, label in items], [3, 3, 4, -1, -1], 3)
    names = ["hp@1", "hp@3", "mahp@2", "mahp@6"]
    for ties, reduce in (("expected", np.mean), ("best", np.max), ("worst", np.min)):
        found = evaluate(np.zeros((1, 1), np.uint8), codes, relevance, names, ties=ties)
        for name in names:
            assert found[name] == pytest.approx(reduce([measure(name, order) for order in orders])), (name, ties)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(6)), st.lists(st.integers(0, 2), min_size=6, max_size=6), st.integers(1, 4))
def test_neighbour_recall_is_the_mean_over_all_orders(neighbours, distances, k):
    codes = np.array([[(1 << distance) - 1] for distance in distances], np.uint8)
    orders = every_order([(distance, item) for item, distance in enumerate(distances)])
    true = {
        f"ann-recall@{k}": [len({*order[:k]} & {*neighbours[:k]}) / k for order in orders],
        f"1-recall@{k}": [float(neighbours[0] in order[:k]) for order in orders],
    }
    for ties, reduce in (("expected", np.mean), ("best", np.max), ("worst", np.min)):
        found = evaluate(np.zeros((1, 1), np.uint8), codes, NeighbourRelevance([neighbours], 6), list(true), ties=ties)
        assert dict(found) == pytest.approx({name: reduce(values) for name, values in true.items()})


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


MANY = [
    "map@all",
    "map@100",
    "map@100/retrieved",
    "ndcg@100",
    "wmap@100",
    "mrr",
    "hit@3",
    "map-revisited",
    "rprecision",
]


@pytest.mark.parametrize("bits", [8, 16])
def test_a_large_database_agrees_with_the_mean_over_seeded_shuffles(bits):
    rng = np.random.default_rng(0)
    codes, query = rng.integers(0, 256, (3000, bits // 8), dtype=np.uint8), np.zeros((8, bits // 8), np.uint8)
    labels = rng.random((3008, 4)) < 0.1
    labels[:8, 0] = True
    relevance = LabelRelevance(labels[:8], labels[8:])
    expected = evaluate(query, codes, relevance, MANY)
    shuffled = [evaluate(query, codes, relevance, MANY, ties="random", seed=seed) for seed in range(30)]
    for name in MANY:
        values = np.array([one[name] for one in shuffled])
        assert abs(expected[name] - values.mean()) <= 4 * values.std(ddof=1) / np.sqrt(len(values)), name


def test_without_ties_the_usual_loop_is_met_to_the_twelfth_digit():
    rng = np.random.default_rng(1)
    codes = np.unique(rng.integers(0, 256, (4000, 8), dtype=np.uint8), axis=0)
    scores = rng.permutation(len(codes) * 3)[: len(codes)][None] / 7
    relevant = rng.random((1, len(codes))) < 0.1
    ranked = relevant[0][np.argsort(-scores[0])]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    loop = precision[ranked].mean()
    found = evaluate_scores(lambda start, stop: scores[start:stop], MatrixRelevance(relevant), ["map@all"])["map@all"]
    assert abs(found - loop) < 1e-12
    strict = evaluate(codes[:1], codes, MatrixRelevance(relevant), ["map@all"], ties="stable")["map@all"]
    ranked = relevant[0][np.argsort(hamming.distances(codes[:1], codes)[0], kind="stable")]
    assert abs(strict - (np.cumsum(ranked) / np.arange(1, len(ranked) + 1))[ranked].mean()) < 1e-12


def test_scores_without_ties_are_ranked_as_they_are():
    rng = np.random.default_rng(1)
    scores, relevant = rng.permutation(40)[None] / 7, rng.random((1, 40)) < 0.4
    ranked = relevant[0][np.argsort(-scores[0])].tolist()
    for ties in ("expected", "best", "worst", "stable", "random"):
        found = evaluate_scores(lambda start, stop: scores[start:stop], MatrixRelevance(relevant), NAMES, ties=ties)
        for name in NAMES:
            assert found[name] == pytest.approx(measure(name, ranked))
