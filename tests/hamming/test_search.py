"""The k nearest and the ball are exact, and ordered by distance, then row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinbits import hamming
from kinbits.errors import DataError, UsageError
from kinbits.hamming import reference


def few_bits(seed, rows, width):
    """Codes that tie a lot."""
    return np.random.default_rng(seed).integers(0, 4, (rows, width), dtype=np.uint8)


def sorted_rows(row, allow):
    return [i for i in np.lexsort((np.arange(len(row)), row)) if allow[i]]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 30), st.integers(0, 40), st.integers(0, 2**16), st.booleans())
def test_topk_is_the_full_sort_cut_at_k(n, k, seed, filtered):
    queries, codes = few_bits(seed, 3, 3), few_bits(seed + 1, n, 3)
    allow = np.random.default_rng(seed).random(n) < 0.5 if filtered else np.ones(n, bool)
    near, rows = hamming.topk(queries, codes, k, allow=allow if filtered else None)
    assert near.dtype == np.int32
    assert rows.dtype == np.int64
    for query, row in enumerate(reference.distances(queries, codes)):
        expected = sorted_rows(row, allow)[:k]
        assert rows[query].tolist() == expected
        assert near[query].tolist() == row[expected].tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(0, 8), st.integers(0, 2**16), st.booleans())
def test_within_is_the_full_sort_cut_at_the_radius(n, radius, seed, filtered):
    queries, codes = few_bits(seed, 3, 3), few_bits(seed + 1, n, 3)
    allow = np.random.default_rng(seed).random(n) < 0.5 if filtered else np.ones(n, bool)
    found = hamming.within(queries, codes, radius, allow=allow if filtered else None)
    for row, (near, rows) in zip(reference.distances(queries, codes), found, strict=True):
        assert rows.tolist() == [i for i in sorted_rows(row, allow) if row[i] <= radius]
        assert near.tolist() == row[rows].tolist()


def test_a_limited_ball_holds_its_nearest():
    queries, codes = few_bits(1, 7, 2), few_bits(2, 500, 2)
    for whole, cut in zip(hamming.within(queries, codes, 3), hamming.within(queries, codes, 3, limit=5), strict=True):
        assert len(cut[0]) == min(5, len(whole[0]))
        for ours, theirs in zip(cut, whole, strict=True):
            np.testing.assert_array_equal(ours, theirs[:5])


def test_a_packed_filter_acts_as_the_same_filter_in_bools():
    queries, codes = few_bits(1, 9, 2), few_bits(2, 501, 2)
    allow = np.random.default_rng(0).random(501) < 0.3
    packed = np.packbits(allow, bitorder="little")
    for one, other in zip(
        hamming.topk(queries, codes, 9, allow=allow), hamming.topk(queries, codes, 9, allow=packed), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_bits_of_a_packed_filter_beyond_the_last_row_allow_nothing():
    codes = few_bits(0, 3, 1)
    _, rows = hamming.topk(codes, codes, 99, allow=np.array([255], np.uint8))
    assert rows.shape == (3, 3)


@pytest.mark.parametrize("k", [-1, 1.5, None, True])
def test_a_k_or_radius_that_is_no_count_is_refused(k):
    codes = few_bits(0, 2, 1)
    with pytest.raises(UsageError, match="k="):
        hamming.topk(codes, codes, k)
    with pytest.raises(UsageError, match="radius="):
        hamming.within(codes, codes, k)


@pytest.mark.parametrize("allow", [np.ones(3, bool), np.ones((2, 1), bool), np.ones(2, np.uint8), np.ones(2, int), [2]])
def test_a_filter_of_another_length_or_type_is_refused(allow):
    codes = few_bits(0, 2, 1)
    for search in (hamming.topk, hamming.within):
        with pytest.raises(DataError, match=r"bool \(2,\)"):
            search(codes, codes, 1, allow=allow)


@pytest.mark.parametrize("threads", [0, -1, 1.5])
def test_a_number_of_threads_that_is_none_is_refused(threads):
    codes = few_bits(0, 2, 1)
    with pytest.raises(UsageError, match="threads="):
        hamming.topk(codes, codes, 1, threads=threads)
