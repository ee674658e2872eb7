"""Label expansion on arrays: the graph, the labeler, who is chosen, what is refused."""

import math

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from kinbits import DataError, UsageError
from kinbits.labelling import build_expansion, expand, keep_fraction, list_expansions
from kinbits.labelling.graph import indegree, nearest, originals, smoothed, symmetric, unit_rows
from kinbits.labelling.labeler import Labeler, LabelerSettings
from kinbits.labelling.labels import partial_labels

LINE = np.array([[0.0], [1.0], [1.2], [2.0], [5.0]], np.float32)
QUICK = {"steps": 50, "hidden": 16}


def blobs(rows=120, classes=3, seed=0, width=8):
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    return (4 * rng.normal(size=(classes, width))[labels] + rng.normal(size=(rows, width))).astype(np.float32), labels


def few(labels, each=2):
    kept = np.full_like(labels, -1)
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)[:each]
        kept[rows] = c
    return kept


def test_neighbours_and_indegrees_of_the_worked_example():
    neighbours, distances = nearest(LINE, 2)
    assert [set(row) for row in neighbours.tolist()] == [{1, 2}, {2, 0}, {1, 3}, {2, 1}, {3, 2}]
    np.testing.assert_allclose(distances[0], [1.0, 1.44], atol=1e-5)
    np.testing.assert_array_equal(indegree(neighbours), [1, 3, 4, 2, 0])


def test_indegrees_sum_to_all_links_and_go_with_their_rows():
    points = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    order = np.random.default_rng(1).permutation(200)
    degrees = indegree(nearest(points, 7)[0])
    assert degrees.sum() == 200 * 7
    np.testing.assert_array_equal(indegree(nearest(points[order], 7)[0]), degrees[order])


def test_equal_rows_are_neighbours_of_each_other_and_never_of_themselves():
    neighbours, _ = nearest(np.repeat(LINE, 4, axis=0), 3)
    assert (neighbours != np.arange(20)[:, None]).all()
    assert (neighbours // 4 == np.arange(20)[:, None] // 4).all()


def test_the_symmetric_graph_is_the_one_of_the_formula():
    neighbours, _ = nearest(LINE, 2)
    links = np.zeros((5, 5), bool)
    for row, near in enumerate(neighbours):
        links[row, near] = True
    joined = links | links.T | np.eye(5, dtype=bool)
    degrees = joined.sum(1)
    wanted = [[joined[i, j] / np.sqrt(degrees[i] * degrees[j]) for j in range(5)] for i in range(5)]
    np.testing.assert_allclose(symmetric(neighbours).toarray(), wanted, atol=1e-6)


def test_the_labeler_computes_two_graph_convolutions():
    points, labels = blobs(12)
    adjacency = symmetric(nearest(points, 3)[0])
    grown = partial_labels(few(labels))
    torch.manual_seed(0)
    labeler = Labeler(adjacency, smoothed(adjacency, points), 3, LabelerSettings(hidden=5)).eval()
    shown = np.zeros(12, bool)
    shown[:4] = True
    rows = np.array([7, 2, 9])
    inputs = np.concatenate([points, [[float(shown[i] and labels[i] == c) for c in range(3)] for i in range(12)]], 1)
    a, (w1, b1, w2, b2) = adjacency.toarray(), [p.detach().numpy() for p in labeler.parameters()]
    hidden = np.maximum(a @ inputs @ w1.T + b1, 0)
    wanted = a @ hidden @ w2.T + b2
    np.testing.assert_allclose(labeler(rows, grown.hot(shown)).detach(), wanted[rows], atol=1e-5)


def test_known_labels_are_hidden_from_the_input_that_has_to_guess_them(monkeypatch):
    points, labels = blobs(60)
    adjacency = symmetric(nearest(points, 5)[0])
    grown, seen = partial_labels(few(labels, 5)), []
    labeler = Labeler(adjacency, smoothed(adjacency, points), 3, LabelerSettings(steps=6))
    forward = Labeler.forward

    def watched(self, rows, shown):
        seen.append((set(rows.tolist()), set(csr_array(shown).nonzero()[0].tolist())))
        return forward(self, rows, shown)

    monkeypatch.setattr(Labeler, "forward", watched)
    labeler.learn(grown, np.random.default_rng(0))
    for targets, shown in seen:
        assert not targets & shown
        assert targets | shown == set(grown.labelled.tolist())
    assert len({frozenset(targets) for targets, _ in seen}) > 1


@pytest.mark.parametrize("name", list_expansions())
def test_guesses_are_mostly_right_and_true_labels_stay(name):
    features, labels = blobs()
    given = few(labels)
    found = expand(features, given, name, **(QUICK if name == "prl" else {}))
    np.testing.assert_array_equal(found.labels[given >= 0], given[given >= 0])
    np.testing.assert_array_equal(found.true, given >= 0)
    assert (found.labels == labels)[found.pseudo].mean() > 0.95
    assert (found.weights[found.true] == 1).all()
    assert ((found.weights[found.pseudo] > 0) & (found.weights[found.pseudo] <= 1)).all()
    assert (found.weights[found.labels < 0] == 0).all()
    assert set(found.source) <= {"true", "pseudo", ""}


def test_the_same_seed_gives_the_same_labels_and_leaves_the_programs_randomness_alone():
    features, labels = blobs()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    runs = [expand(features, few(labels), "prl", seed=seed, **QUICK) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(runs[0].weights, runs[1].weights)
    assert (runs[0].weights != runs[2].weights).any()


def test_rounds_add_their_share_and_the_representative_come_first():
    features, labels = blobs(200)
    found = expand(features, few(labels), "prl", rounds=3, per_round=0.1, candidates=1, stop=0, centre=False, **QUICK)
    assert [int((found.rounds == t).sum()) for t in (1, 2, 3)] == [20, 20, 20]
    degrees = indegree(nearest(unit_rows(features, False), 10)[0])
    assert degrees[found.rounds == 1].min() >= degrees[found.rounds == 2].max()
    assert degrees[found.rounds == 3].min() >= degrees[found.rounds == -1].max()


def test_an_outlier_is_chosen_after_all_others():
    features, labels = blobs(60)
    features[59] = 50 * np.random.default_rng(9).normal(size=8)
    degrees = indegree(nearest(unit_rows(features, False), 5)[0])
    assert degrees[59] == degrees.min() == 0
    settings = {"neighbours": 5, "rounds": 50, "per_round": 1 / 60, "candidates": 1, "stop": 0, "centre": False}
    found = expand(features, few(labels), "prl", **settings, **QUICK | {"steps": 5})
    assert found.rounds[59] == -1 or found.rounds[59] > found.rounds[(degrees > 0) & found.pseudo].max()


def test_a_dense_class_cannot_take_a_whole_round():
    rng = np.random.default_rng(0)
    labels = np.array([0] * 150 + [1] * 30 + [2] * 30)
    features = (3 * np.eye(3)[labels] + 0.6 * rng.normal(size=(210, 3))).astype(np.float32)
    settings = {"rounds": 1, "per_round": 0.2, "stop": 0, "copies": 2.0, **QUICK}
    free, capped = (expand(features, few(labels, 4), "prl", class_cap=c, **settings) for c in (None, 1.0))
    assert (free.labels[free.pseudo] == 0).sum() > 20
    assert (capped.labels[capped.pseudo] == 0).sum() == 14


def test_guesses_stop_where_they_would_be_noise():
    rng = np.random.default_rng(0)
    given = np.full(300, -1)
    given[:40] = np.arange(40) % 10
    found = expand(rng.normal(size=(300, 16)).astype(np.float32), given, "prl", **QUICK)
    assert found.report["rounds"][-1]["added"] == 0
    assert found.report["rounds"][-1]["median_confidence"] < 0.6
    assert found.report["pseudo"] < 150


def test_copies_do_not_elect_each_other_and_share_one_label():
    features, labels = blobs(90)
    copied = np.concatenate([features, np.repeat(features[50:51], 30, 0), np.repeat(features[0:1], 2, 0)])
    truth = np.concatenate([labels, np.repeat(labels[50], 30), np.repeat(labels[0], 2)])
    given = np.concatenate([few(labels), np.full(32, -1)])
    found = expand(copied, given, "prl", rounds=2, **QUICK)
    assert found.report["copies"] == 32
    group = [50, *range(90, 120)]
    assert len(set(zip(found.labels[group], found.rounds[group], found.weights[group], strict=True))) == 1
    assert (found.labels[120:] == labels[0]).all()  # copies of a labelled image
    assert (found.weights[120:] == 1).all()
    assert found.pseudo[120:].all()
    assert (found.labels == truth)[found.pseudo].mean() > 0.95


def test_one_of_a_chain_of_copies_stands_for_them_and_a_labelled_one_is_preferred():
    points = unit_rows(np.array([[1, 0], [1, 0.01], [1, 0.02], [0, 1], [0.3, 1]], np.float32), False)
    first = np.array([False, False, True, False, False])
    np.testing.assert_array_equal(originals(*nearest(points, 2), 0.999, first), [2, 2, 2, 3, 4])


@pytest.mark.parametrize("name", list_expansions())
def test_sets_of_labels_are_guessed_as_sets(name):
    rng = np.random.default_rng(0)
    truth = np.zeros((240, 4), np.uint8)
    truth[np.arange(240), np.arange(240) % 4] = 1
    truth[np.arange(240), np.arange(240) // 2 % 4] = 1
    features = (4 * truth @ rng.normal(size=(4, 12)) + rng.normal(size=(240, 12))).astype(np.float32)
    given = truth * (np.arange(240) % 5 == 0)[:, None].astype(np.uint8)
    found = expand(features, given, name, **(QUICK | {"steps": 120} if name == "prl" else {}))
    assert found.labels.shape == truth.shape
    np.testing.assert_array_equal(found.labels[found.true], truth[found.true])
    assert found.labels[found.pseudo].any(1).all()
    assert (found.labels == truth)[found.pseudo].mean() > 0.9
    assert found.pseudo.sum() > 60


def test_a_class_without_a_labelled_row_is_never_guessed_and_reported():
    features, labels = blobs(90)
    given = np.where(labels == 1, -1, few(labels))
    for name in list_expansions():
        found = expand(features, given, name, classes=4, **(QUICK if name == "prl" else {}))
        assert found.report["classes_without_label"] == [1, 3]
        assert 1 not in found.labels


def test_one_label_of_each_class_is_enough():
    features, labels = blobs(90)
    found = expand(features, few(labels, 1), "prl", **QUICK)
    assert (found.labels == labels)[found.pseudo].mean() > 0.9


def test_unsure_guesses_of_the_plain_classifier_can_be_left_out():
    features, labels = blobs()
    every, sure = (expand(features, few(labels), "pseudo", threshold=t) for t in (0.0, 0.97))
    assert every.pseudo.sum() == 120 - 6 > sure.pseudo.sum() > 0
    assert sure.weights[sure.pseudo].min() >= 0.97


def test_what_cannot_serve_is_refused():
    features, labels = blobs(20)
    with pytest.raises(UsageError, match=r"neighbours is 20, of 20 different images; give 1 to 19"):
        expand(features, few(labels), "prl", neighbours=20)
    with pytest.raises(DataError, match="labelled rows of 1 classes"):
        expand(features, np.where(labels == 0, 0, -1))
    with pytest.raises(DataError, match="every row has a label"):
        expand(features, labels)
    with pytest.raises(DataError, match="-1 means unlabelled"):
        expand(features, labels - 2)
    with pytest.raises(DataError, match="not finite"):
        expand(np.where(np.arange(20)[:, None] == 3, np.nan, features), few(labels), "pseudo")
    with pytest.raises(DataError, match="20 rows of features for 19 labels"):
        expand(features, few(labels)[:19])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rounds": 0}, "rounds is 0; prl takes at least 1"),
        ({"per_round": 0.0}, "per_round is 0, so that no round adds a label"),
        ({"mask": 1.5}, "mask is 1.5; prl takes 0 to 1"),
        ({"candidates": 0.5}, "candidates is 0.5"),
        ({"choice": "best"}, "indegree, random, confidence"),
        ({"neigbours": 5}, "did you mean neighbours"),
    ],
)
def test_values_out_of_range_are_refused_with_what_is_allowed(given, message):
    with pytest.raises(UsageError, match=message):
        build_expansion("prl", **given)


def test_an_unknown_expansion_offers_the_nearest():
    with pytest.raises(UsageError, match="did you mean prl"):
        build_expansion("plr")


def test_a_fraction_keeps_its_share_of_every_class_and_the_same_rows_for_a_seed():
    labels = np.repeat([0, 1, 2, -1], [500, 100, 3, 50])
    kept = keep_fraction(labels, 0.1, seed=1)
    assert np.bincount(labels[kept]).tolist() == [50, 10, 1]
    assert (kept == keep_fraction(labels, 0.1, seed=1)).all()
    assert (kept != keep_fraction(labels, 0.1, seed=2)).any()
    assert keep_fraction(labels, 0.2, seed=1)[kept].all()
    assert keep_fraction(labels, 1.0).sum() == 603


@pytest.mark.parametrize(
    ("sizes", "fraction", "kept"),
    [
        ([25, 25, 25, 25], 0.1, [3, 3, 3, 3]),  # 2.5 of each: never below the share that was asked for
        ([30, 7, 1], 0.1, [3, 1, 1]),  # 0.1 * 30 is 3.0000000000000004 in floating point
        ([500, 14, 3], 0.07, [35, 1, 1]),
        ([10, 10], 0.25, [3, 3]),
    ],
)
def test_each_class_keeps_at_least_its_share(sizes, fraction, kept):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    assert np.bincount(labels[keep_fraction(labels, fraction)]).tolist() == kept


@pytest.mark.parametrize(("fraction", "kept"), [(0.05, 3), (0.1, 5), (0.3, 15)])
def test_label_sets_keep_at_least_the_share(fraction, kept):
    labels = np.zeros((50, 2), np.uint8)
    labels[:45, 0] = labels[20:, 1] = 1
    assert keep_fraction(labels, fraction).sum() == kept


def test_a_fraction_of_label_sets_loses_no_label():
    rng = np.random.default_rng(0)
    labels = (rng.random((1000, 30)) < np.geomspace(0.3, 0.002, 30)).astype(np.uint8)
    kept = keep_fraction(labels, 0.05)
    assert (labels[kept].any(0) == labels.any(0)).all()
    assert kept.sum() == math.ceil(0.05 * labels.any(1).sum())
    assert labels[kept].any(1).all()


@pytest.mark.parametrize("fraction", [0, -0.1, 1.2])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(UsageError, match="above 0 and up to 1"):
        keep_fraction(np.arange(4), fraction)
