"""Class targets: distinct, far apart, the same for one seed, and refused where none can exist."""

import numpy as np
import pytest

from kinbits import UsageError
from kinbits.methods.blocks import binary_targets


def smallest_distance(targets):
    gram = targets.astype(int) @ targets.astype(int).T
    distances = (targets.shape[1] - gram) // 2
    return distances[~np.eye(len(targets), dtype=bool)].min()


def draw(classes, bits, kind, seed=0):
    return binary_targets(classes, bits, np.random.default_rng(seed), kind=kind)


@pytest.mark.parametrize("kind", ["auto", "bernoulli", "maxhd"])
@pytest.mark.parametrize(("classes", "bits"), [(2, 4), (10, 16), (100, 13), (1000, 48), (16, 4)])
def test_targets_are_distinct_signs_for_any_size(kind, classes, bits):
    targets = draw(classes, bits, kind)
    assert targets.shape == (classes, bits)
    assert targets.dtype == np.int8
    assert set(np.unique(targets)) == {-1, 1}
    assert len(np.unique(targets, axis=0)) == classes


@pytest.mark.parametrize(("classes", "bits", "at_least"), [(100, 64, 23), (10, 64, 29), (10, 16, 6)])
def test_maxhd_keeps_targets_further_apart_than_coins(classes, bits, at_least):
    apart, coins = draw(classes, bits, "maxhd"), draw(classes, bits, "bernoulli")
    assert smallest_distance(apart) >= at_least
    assert smallest_distance(apart) > smallest_distance(coins)


@pytest.mark.parametrize(("classes", "bits"), [(10, 16), (16, 16), (32, 16), (100, 64)])
def test_hadamard_targets_are_orthogonal_or_opposite(classes, bits):
    targets = draw(classes, bits, "hadamard").astype(int)
    off = (targets @ targets.T)[~np.eye(classes, dtype=bool)]
    assert set(np.unique(off)) <= {0, -bits}
    assert np.array_equal(draw(classes, bits, "hadamard"), draw(classes, bits, "auto"))


def test_one_seed_gives_one_set():
    assert np.array_equal(draw(50, 24, "maxhd"), draw(50, 24, "maxhd"))
    assert not np.array_equal(draw(50, 24, "maxhd"), draw(50, 24, "maxhd", seed=1))


def test_a_hundred_thousand_classes_are_quick_and_distinct():
    assert len(np.unique(draw(100_000, 64, "auto"), axis=0)) == 100_000


def test_coins_fill_a_whole_small_cube():
    assert len(np.unique(draw(16, 4, "bernoulli"), axis=0)) == 16


def test_very_long_codes_are_no_overflow():
    assert draw(3, 2048, "bernoulli").shape == (3, 2048)


def test_impossible_requests_say_what_is_possible():
    with pytest.raises(UsageError, match="only 16 codes"):
        draw(17, 4, "auto")
    with pytest.raises(UsageError, match="power of two"):
        draw(10, 24, "hadamard")
    with pytest.raises(UsageError, match="at most 32 classes"):
        draw(33, 16, "hadamard")
