"""Semantic centres: the sheet's numbers, a descent that never rises, and a distance that always holds."""

import itertools

import numpy as np
import pytest

from kinbits import UsageError
from kinbits.methods import semantic_centres
from kinbits.methods.blocks import hash_centres, min_and_mean_distance
from kinbits.methods.blocks.semantic import _Search, gilbert_varshamov, mismatch, separated

GROUPS = np.arange(16) // 4
TREE = np.where(np.eye(16), 1.0, np.where(GROUPS[:, None] == GROUPS, 0.575, -0.129))


def random_similarity(classes, seed=0):
    S = np.random.default_rng(seed).uniform(-1, 1, (classes, classes))
    S = (S + S.T) / 2
    np.fill_diagonal(S, 1)
    return S


@pytest.mark.parametrize(
    ("bits", "classes", "wanted"),
    [(16, 10, 6), (16, 100, 4), (32, 10, 13), (32, 100, 10), (64, 10, 28), (64, 100, 24), (12, 100, 3)],
)
def test_the_distance_is_the_known_bound(bits, classes, wanted):
    assert gilbert_varshamov(classes, bits) == wanted


def test_the_mismatch_is_the_worked_number():
    rows = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1]])
    assert mismatch(np.eye(3), rows) == 0
    assert mismatch([[1, 0.5, -1], [0.5, 1, 0], [-1, 0, 1]], rows) == pytest.approx(0.277778, abs=1e-6)


@pytest.mark.parametrize(("bits", "classes", "distance"), [(24, 30, 8), (16, 100, 4), (12, 100, 3)])
def test_centres_are_moved_apart(bits, classes, distance):
    rng = np.random.default_rng(0)
    coins = hash_centres(classes, bits, rng, kind="bernoulli")
    assert min_and_mean_distance(coins)[0] < distance
    assert min_and_mean_distance(separated(coins, distance, rng))[0] >= distance


@pytest.mark.parametrize(("bits", "classes"), [(16, 16), (13, 20), (32, 100)])
def test_every_step_lowers_the_mismatch_and_keeps_the_distance(bits, classes, monkeypatch):
    S, seen = random_similarity(classes), []
    improve = _Search._improve

    def watched(search, row):
        flips = improve(search, row)
        seen.append((mismatch(search.S, search.H), min_and_mean_distance(search.H)[0]))
        return flips

    monkeypatch.setattr(_Search, "_improve", watched)
    rng = np.random.default_rng(0)
    start = hash_centres(classes, bits, rng)
    least = min_and_mean_distance(start)[0]
    _Search(S, start, bits - 2 * least).run(rng)
    values = [mismatch(S, start), *(value for value, _ in seen)]
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(values))
    assert values[-1] < values[0]
    assert min(apart for _, apart in seen) >= least


def test_no_flip_of_one_or_two_bits_of_any_centre_improves_the_result():
    S, bits, distance = random_similarity(8), 9, 2
    centres = semantic_centres(S, bits, distance=distance, restarts=1)
    reached = mismatch(S, centres)
    for row, one, other in itertools.product(range(8), range(bits), range(bits)):
        moved = centres.copy()
        moved[row, list({one, other})] *= -1
        if min_and_mean_distance(moved)[0] >= distance:
            assert mismatch(S, moved) >= reached - 1e-9


@pytest.mark.parametrize("bits", [16, 32])
def test_related_classes_get_nearer_codes_than_hadamard_rows_have(bits):
    centres = semantic_centres(TREE, bits)
    assert min_and_mean_distance(centres)[0] >= gilbert_varshamov(16, bits)
    assert mismatch(TREE, centres) < 0.6 * mismatch(TREE, hash_centres(16, bits, np.random.default_rng(0)))
    products = centres.astype(int) @ centres.T
    same = (GROUPS[:, None] == GROUPS) & ~np.eye(16, dtype=bool)
    assert products[same].mean() > products[GROUPS[:, None] != GROUPS].mean() + bits / 8


def test_without_a_distance_the_classes_of_a_perfect_tree_coincide():
    tree = np.where(GROUPS[:, None] == GROUPS, 1.0, -1 / 3)
    assert min_and_mean_distance(semantic_centres(tree, 16, distance=0))[0] == 0
    assert min_and_mean_distance(semantic_centres(tree, 16))[0] >= 1


def test_more_restarts_are_never_worse():
    S = random_similarity(20)
    values = [mismatch(S, semantic_centres(S, 16, restarts=count)) for count in (1, 2, 4)]
    assert values == sorted(values, reverse=True)


def test_one_seed_gives_one_set_and_any_length_works():
    S = random_similarity(12)
    for bits in (5, 13, 64):
        centres = semantic_centres(S, bits, restarts=1)
        assert centres.shape == (12, bits)
        assert set(np.unique(centres)) == {-1, 1}
        assert np.array_equal(centres, semantic_centres(S, bits, restarts=1))


@pytest.mark.parametrize(
    ("similarity", "options", "said"),
    [
        (np.zeros((3, 4)), {}, "shape \\(3, 4\\)"),
        (np.ones((1, 1)), {}, "two or more"),
        (np.full((3, 3), np.nan), {}, "finite"),
        (np.eye(3), {"distance": 17}, "distance 17"),
        (np.eye(3), {"restarts": 0}, "restarts 0"),
        (np.eye(40), {"distance": 12}, "lower the distance"),
    ],
)
def test_what_cannot_be_is_refused(similarity, options, said):
    with pytest.raises(UsageError, match=said):
        semantic_centres(similarity, 16, **options)


@pytest.mark.slow
def test_a_thousand_classes_take_minutes():
    groups = np.arange(1000) // 10
    S = np.where(np.eye(1000), 1.0, np.where(groups[:, None] == groups, 0.6, -0.1))
    centres = semantic_centres(S, 32, restarts=1)
    assert min_and_mean_distance(centres)[0] >= 7
    assert mismatch(S, centres) < mismatch(S, hash_centres(1000, 32, np.random.default_rng(0)))
