"""All near pairs: by comparison and by tables the same, and few of many equal codes."""

import numpy as np
import pytest

import kinbits
from kinbits.dedupe import near
from kinbits.dedupe.near import PairSearch


def naive(codes, radius):
    bits = np.unpackbits(codes, axis=1).astype(int)
    apart = (bits[:, None] != bits[None]).sum(2)
    return {(i, j, apart[i, j]) for i in range(len(codes)) for j in range(i + 1, len(codes)) if apart[i, j] <= radius}


def found(pairs):
    low, high = np.minimum(pairs.first, pairs.second), np.maximum(pairs.first, pairs.second)
    listed = list(zip(low.tolist(), high.tolist(), pairs.distances.tolist(), strict=True))
    assert len(listed) == len(set(listed))
    return set(listed)


@pytest.mark.parametrize("few", [0, 10**9])
def test_pairs_are_those_of_naive_loops(few, monkeypatch):
    monkeypatch.setattr(near, "FEW", few)
    monkeypatch.setattr(near, "_BLOCK", 7)
    codes = np.random.default_rng(0).integers(0, 4, (60, 3), dtype=np.uint8)
    search = PairSearch(codes, np.arange(60))
    for radius in (2, 0, 4, 3):
        assert found(search(radius)) == naive(codes, radius)


def test_many_equal_codes_are_linked_to_the_best():
    codes = np.zeros((400, 4), np.uint8)
    codes[:30] = 255
    rank = np.arange(400)[::-1].copy()
    pairs = PairSearch(codes, rank)(3)
    zeros = pairs.only(pairs.first >= 30)
    assert len(zeros) == 369
    assert set(zeros.first.tolist()) == {399}  # the best rank
    assert len(pairs) - len(zeros) == 30 * 29 // 2


def test_too_many_pairs_are_refused(monkeypatch):
    monkeypatch.setattr(near, "MOST_PAIRS", 100)
    with pytest.raises(kinbits.UsageError, match="more than 100 pairs are within 8 bits"):
        PairSearch(np.arange(200, dtype=np.uint8)[:, None], np.arange(200))(8)


def test_items_with_a_partner_are_counted_by_radius():
    codes = np.array([[0], [1], [0], [255]], np.uint8)
    assert PairSearch(codes, np.arange(4))(1).items_with_partner(4, 8).tolist() == [2, *[3] * 8]
