"""Hash centres: known distances, any size, and the best of many sets."""

import time

import numpy as np
import pytest

from kinbits import UsageError
from kinbits.methods.blocks import hash_centres, min_and_mean_distance


def draw(classes, bits, kind="auto", seed=0):
    return hash_centres(classes, bits, np.random.default_rng(seed), kind=kind)


def distances(centres):
    apart = (centres.shape[1] - centres.astype(int) @ centres.astype(int).T) // 2
    return apart[~np.eye(len(centres), dtype=bool)]


@pytest.mark.parametrize("kind", ["auto", "balanced", "bernoulli"])
@pytest.mark.parametrize(("classes", "bits"), [(2, 4), (6, 4), (10, 16), (100, 13), (1000, 48), (300, 11)])
def test_centres_are_distinct_signs_for_any_size(kind, classes, bits):
    centres = draw(classes, bits, kind)
    assert centres.shape == (classes, bits)
    assert centres.dtype == np.int8
    assert set(np.unique(centres)) == {-1, 1}
    assert len(np.unique(centres, axis=0)) == classes


@pytest.mark.parametrize(
    ("classes", "bits", "least", "mean", "most"),
    [(16, 16, 8, 8, 8), (32, 16, 8, 8.258, 16), (100, 64, 32, 32.2327, 64)],
)
def test_hadamard_centres_have_the_known_distances(classes, bits, least, mean, most):
    apart = distances(draw(classes, bits))
    assert (apart.min(), apart.max()) == (least, most)
    assert apart.mean() == pytest.approx(mean, abs=1e-3)


@pytest.mark.parametrize("classes", [10, 16, 25, 32])
def test_no_bit_of_hadamard_centres_is_constant(classes):
    assert (np.abs(draw(classes, 16).sum(0, dtype=int)) < classes).all()


@pytest.mark.parametrize(("classes", "bits", "least"), [(100, 16, 2), (32, 16, 4), (100, 64, 20)])
def test_balanced_centres_have_half_of_their_bits_set_and_keep_apart(classes, bits, least):
    centres = draw(classes, bits, "balanced")
    assert (centres.sum(1) == 0).all()
    apart = distances(centres)
    assert (apart % 2 == 0).all()
    assert apart.min() >= least
    assert apart.mean() >= bits / 2


def test_odd_lengths_are_balanced_to_one_bit():
    sums = draw(50, 13, "balanced").sum(1)
    assert set(sums.tolist()) == {-1, 1}


@pytest.mark.parametrize(("classes", "bits"), [(2, 8), (40, 12), (1, 8)])
def test_the_spread_is_the_smallest_and_mean_distance(classes, bits):
    centres = draw(classes, bits, "bernoulli")
    apart = distances(centres) if classes > 1 else np.array([bits])
    assert min_and_mean_distance(centres) == (apart.min(), pytest.approx(apart.mean()))


def test_a_hundred_thousand_centres_are_quick_and_distinct():
    started = time.process_time()
    centres = draw(100_000, 63)
    assert time.process_time() - started < 30
    assert len(np.unique(np.packbits(centres > 0, axis=1), axis=0)) == 100_000


def test_small_cubes_are_filled():
    assert len(np.unique(draw(16, 4), axis=0)) == 16
    assert len(np.unique(draw(6, 4, "balanced"), axis=0)) == 6


def test_one_seed_gives_one_set():
    for kind in ("hadamard", "balanced", "bernoulli"):
        assert np.array_equal(draw(20, 16, kind), draw(20, 16, kind))
        assert not np.array_equal(draw(20, 16, kind), draw(20, 16, kind, seed=1))


@pytest.mark.parametrize(
    ("classes", "bits", "kind", "said"),
    [(17, 4, "auto", "only 16 codes"), (7, 4, "balanced", "only 6 codes"), (10, 24, "hadamard", "power of two")],
)
def test_impossible_requests_say_what_is_possible(classes, bits, kind, said):
    with pytest.raises(UsageError, match=said):
        draw(classes, bits, kind)
