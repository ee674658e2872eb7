"""The radius: found false pairs are about as many as expected, where the truth is known."""

import numpy as np
import pytest

from kinbits.dedupe.background import count_distances, fit_background
from kinbits.dedupe.calibrate import calibrate_radius

NONE = np.zeros(0, np.int64), np.zeros(0, np.int64)


def collection(kind, n, share, seed):
    """Return codes of different images and of copies with flipped bits, and the original of each."""
    rng = np.random.default_rng(seed)
    weights = np.random.default_rng(7).standard_normal((64, 256))
    latent = rng.standard_normal((n, 64))
    if kind == "classes":
        latent = 0.7 * latent + 0.7 * np.random.default_rng(8).standard_normal((100, 64))[rng.integers(0, 100, n)]
    bits = latent @ weights > 0
    source = rng.integers(0, n, int(share * n))
    copies = bits[source]
    flips = np.minimum(2 + rng.exponential(10, len(copies)).astype(int), 100)
    for row, count in enumerate(flips):
        copies[row, rng.choice(256, count, replace=False)] ^= True
    return np.packbits(np.concatenate([bits, copies]), axis=1), np.concatenate([np.arange(n), source]), flips


@pytest.mark.parametrize("kind", ["one", "classes"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_found_false_pairs_are_about_as_many_as_expected(kind, share):
    codes, origin, flips = collection(kind, 4000, share, 0)
    loose = calibrate_radius(codes, np.arange(len(codes)), edits={}, bursts=NONE, tolerance=0.1)
    false = int((origin[loose.pairs.first] != origin[loose.pairs.second]).sum())
    assert 1 / 3 <= false / loose.result.expected_false_pairs <= 3
    strict = calibrate_radius(codes, np.arange(len(codes)), edits={"flips": flips}, bursts=NONE)
    assert int((origin[strict.pairs.first] != origin[strict.pairs.second]).sum()) <= 4
    assert strict.result.recall["flips"] > 0.9
    assert strict.result.expected_false_pairs <= 0.001 * max(len(strict.pairs), 1000)


def test_a_given_radius_is_kept_with_what_to_expect():
    codes, *_ = collection("one", 1000, 0.1, 1)
    found = calibrate_radius(codes, np.arange(len(codes)), edits={}, bursts=NONE, radius=12).result
    assert (found.radius, found.given) == (12, True)
    assert found.expected_false_pairs < 1e-3
    assert list(found.false_pairs) == sorted(found.false_pairs)


def test_a_given_radius_hides_no_false_pairs():
    codes, origin, _ = collection("classes", 3000, 0.1, 3)
    found = calibrate_radius(codes, np.arange(len(codes)), edits={}, bursts=NONE, radius=62)
    false = int((origin[found.pairs.first] != origin[found.pairs.second]).sum())
    assert false > 500  # far more than a calibrated radius allows
    assert 2 / 3 <= false / found.result.expected_false_pairs <= 3 / 2


def test_burst_pairs_are_no_different_images():
    codes, *_ = collection("one", 1000, 0, 2)
    shots = codes[np.repeat(np.arange(500), 2)]
    shots[1::2, 0] ^= 255  # the second shot differs in eight bits
    shots[1::2, 1] ^= 255
    bursts = np.arange(0, 1000, 2), np.arange(1, 1000, 2)
    kept = calibrate_radius(shots, np.arange(1000), edits={}, bursts=bursts).result
    assert kept.false_pairs[16] < 0.01


def test_pairs_are_counted_all_or_by_a_sample():
    codes = np.random.default_rng(0).integers(0, 256, (300, 4), dtype=np.uint8)
    whole = count_distances(codes, 0)
    assert whole.sum() == 300 * 299 // 2
    bits = np.unpackbits(codes, axis=1).astype(int)
    apart = (bits[:, None] != bits[None]).sum(2)[np.triu_indices(300, 1)]
    assert (whole == np.bincount(apart, minlength=33)).all()
    part = count_distances(codes, 0, pairs=3000)
    assert part.sum() == 10 * 299
    assert np.abs(part / part.sum() - whole / whole.sum()).max() < 0.05


def test_too_few_pairs_give_an_upper_bound():
    found = fit_background(np.bincount([90, 100, 110], minlength=257), np.zeros(257))
    assert found.start == -1
    assert found.below[0] == 1.0
    assert "too few" in found.describe()
