"""What prl claims, on 1,500 digits whose pixels are the features."""

from functools import cache

import digits
import numpy as np
import pytest

from kinbits.labelling import NeighbourGraph, build_expansion, expand, partial_labels
from kinbits.methods import Spec, build_method
from kinbits.training import FeatureSet, TrainingSettings, train


@cache
def data():
    return digits.unlabelled_split()[1]


@cache
def graph(centre=True):
    return NeighbourGraph.from_features(data()[0], 10, centre=centre)


def few(each, seed):
    labels = data()[1]
    order = np.random.default_rng(seed).permutation(len(labels))
    kept = np.full(len(labels), -1)
    for c in range(10):
        kept[order[labels[order] == c][:each]] = c
    return kept


def guesses(labels, seed, **params):
    """Train one labeler on these labels; return the rows without a true one, and which of its guesses are right."""
    grown = partial_labels(labels)
    labeler = build_expansion("prl", **params).labeler(graph(), grown, np.random.default_rng(seed))
    found, confidence, _ = grown.guess(labeler.logits(grown.unlabelled, grown))
    return grown.unlabelled, found == data()[1][grown.unlabelled], confidence


def final(found, given, seed):
    """Share of right guesses, of a last labeler trained on all that was added, for all rows without a true label."""
    grown = partial_labels(given)
    added = np.flatnonzero(found.pseudo)
    grown.add(added, found.labels[added], found.weights[added], found.rounds[added])
    labeler = build_expansion("prl").labeler(graph(), grown, np.random.default_rng(seed))
    rows = np.flatnonzero(given < 0)
    return (grown.guess(labeler.logits(rows, grown))[0] == data()[1][rows]).mean()


def test_some_digits_are_neighbours_of_many_and_some_of_nobody():
    degrees = graph(centre=False).indegree
    assert degrees.mean() == 10
    assert 40 <= degrees.max() <= 50
    assert 15 <= (degrees == 0).sum() <= 30
    assert graph().indegree.max() < degrees.max()  # centring makes hubs smaller
    assert (graph().indegree == 0).sum() < (degrees == 0).sum()


@pytest.mark.slow
def test_hiding_labels_from_the_labeler_does_no_harm():
    right = {m: np.mean([guesses(few(4, s), s, mask=m)[1].mean() for s in range(3)]) for m in (0.0, 0.5, 1.0)}
    print(right)
    assert right[0.5] > max(right.values()) - 0.01


@pytest.mark.slow
@pytest.mark.parametrize("each", [1, 4])
def test_the_most_representative_digits_are_guessed_best(each):
    shares = []
    for seed in range(3):
        rows, right, _ = guesses(few(each, seed), seed)
        order, fifth = np.argsort(-graph().indegree[rows], kind="stable"), len(rows) // 5
        shares.append([right[order[:fifth]].mean(), right.mean(), right[order[-fifth:]].mean()])
    print(each, np.mean(shares, 0))
    top, every, bottom = np.mean(shares, 0)
    assert top > every > bottom


@pytest.mark.exhaustive
def test_choosing_by_indegree_teaches_more_than_choosing_by_confidence():
    pure, last = {}, {}
    for choice in ("indegree", "confidence"):
        found = [expand(data()[0], few(4, s), "prl", choice=choice, seed=s) for s in range(2)]
        pure[choice] = np.mean([(f.labels == data()[1])[f.pseudo].mean() for f in found])
        last[choice] = np.mean([final(f, few(4, s), s) for s, f in enumerate(found)])
    print("purity", pure, "final", last)
    assert min(pure.values()) > 0.97
    assert last["indegree"] > last["confidence"]


@pytest.mark.slow
def test_codes_learned_from_enlarged_labels_rank_better_than_from_the_few():
    queries, database = digits.split()[0], data()
    scores = {}
    for choice in (None, "indegree"):
        each = []
        for seed in range(2):
            given = few(1, seed)
            found = None if choice is None else expand(*data()[:1], given, "prl", choice=choice, seed=seed)
            labels = given if found is None else found.labels
            rows = np.flatnonzero(labels >= 0)
            part = FeatureSet(data()[0][rows], labels[rows])
            part.weights = None if found is None else found.weights[rows]
            method = build_method("greedyhash", Spec(32, 64, len(rows), digits.SPACE, seed=seed))
            train(method, part, TrainingSettings(epochs=60, seed=seed, progress=False, accelerator="cpu"))
            each.append(digits.score(method, queries, database))
        scores[choice] = np.mean(each)
    print(scores)
    assert scores["indegree"] > scores[None] + 0.05
