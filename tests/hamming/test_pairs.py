"""Pair search finds every pair within the radius once, in the promised order, in bounded memory."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinbits import hamming
from kinbits.hamming import MultiIndex, mih_arrays, near_duplicates


def make_codes(seed, rows, bits, centres):
    rng = np.random.default_rng(seed)
    middle = rng.random((centres, bits)) < 0.5
    flips = rng.random((rows, bits)) < 0.04
    return hamming.pack(middle[rng.integers(0, centres, rows)] ^ flips)


def expected_pairs(codes, radius, allow=None):
    """List all pairs in the promised order: smaller code, larger code, then the row of each."""
    n = len(codes)
    apart = hamming.distances(codes, codes)
    near = [(i, j) for i, j in itertools.combinations(range(n), 2) if apart[i, j] <= radius]
    if allow is not None:
        near = [(i, j) for i, j in near if allow[i] and allow[j]]
    by_code = [tuple(sorted([(codes[i].tobytes(), i), (codes[j].tobytes(), j)])) for i, j in near]
    ordered = sorted(by_code, key=lambda pair: (pair[0][0], pair[1][0], pair[0][1], pair[1][1]))
    return [(min(a[1], b[1]), max(a[1], b[1]), int(apart[a[1], b[1]])) for a, b in ordered]


def found_pairs(chunks):
    return [pair for chunk in chunks for pair in zip(*(array.tolist() for array in chunk), strict=True)]


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**16),
    st.integers(0, 60),
    st.integers(1, 150),
    st.sampled_from([1, 3, 60]),
    st.sampled_from([0, 1, 2, 5, 20, 200]),
    st.booleans(),
)
def test_pairs_are_those_of_comparing_all_with_all(seed, n, bits, centres, radius, filtered):
    codes = make_codes(seed, n, bits, centres)
    allow = np.random.default_rng(seed).random(n) < 0.6 if filtered else None
    found = found_pairs(MultiIndex.from_codes(codes).pairs(radius, allow=allow, threads=1))
    assert found == expected_pairs(codes, radius, allow)


@pytest.mark.parametrize(("bits", "radius"), [(64, 3), (64, 9), (128, 6), (256, 12)])
def test_pairs_of_thousands_equal_a_scan_on_every_thread_count(bits, radius):
    codes = make_codes(1, 3000, bits, 900)
    apart = hamming.distances(codes, codes)
    first, second = np.nonzero(np.triu(apart <= radius, 1))
    streams = [list(MultiIndex.from_codes(codes).pairs(radius, threads=threads)) for threads in (1, 4)]
    assert found_pairs(streams[0]) == found_pairs(streams[1])
    assert len(first) > 100
    assert sorted(found_pairs(streams[0])) == list(
        zip(first.tolist(), second.tolist(), apart[first, second].tolist(), strict=True)
    )


def test_tables_built_for_the_radius_give_the_same_pairs():
    codes = make_codes(2, 2000, 64, 700)
    few, many = MultiIndex.from_codes(codes, substrings=4), MultiIndex.from_codes(codes, substrings=32)
    for radius in (2, 12):
        assert found_pairs(few.pairs(radius)) == found_pairs(many.pairs(radius))


def test_one_huge_group_streams_its_pairs_without_holding_them(monkeypatch):
    """10^6 equal codes have 5 * 10^11 pairs: only what is asked for may be made."""
    index = MultiIndex.from_codes(np.zeros((1_000_000, 2), np.uint8))
    stream = index.pairs(0)
    first, second, distances = next(stream)
    assert first.dtype == second.dtype == np.int64
    assert distances.dtype == np.int32
    assert len(first) == near_duplicates.CHUNK
    assert not first[:999_999].any()
    np.testing.assert_array_equal(second[:999_999], np.arange(1, 1_000_000))
    assert (first[999_999], second[999_999]) == (1, 2)
    following = next(stream)
    assert following[0][0] * 1_000_000 + following[1][0] == first[-1] * 1_000_000 + second[-1] + 1


def test_chunks_are_cut_anywhere_without_losing_or_doubling_a_pair():
    codes = make_codes(3, 200, 24, 4)
    expected = expected_pairs(codes, 2)
    for room in (1, 7, 64):
        chunks = list(MultiIndex.from_codes(codes).pairs(2, chunk=room))
        assert max(len(chunk[0]) for chunk in chunks) <= room
        assert found_pairs(chunks) == expected


def test_blocks_shrink_where_many_groups_are_near_each_other():
    codes = make_codes(4, 200, 32, 2)
    groups = mih_arrays.group(codes, threads=1)
    native = groups.native()
    mih_arrays.fill_tables(native, groups, 32, 3, 1)
    chunks = near_duplicates.pair_stream(native, len(groups.unique), 8, 1, group_pairs=8, first_block=16)
    assert found_pairs(chunks) == expected_pairs(codes, 8)


def test_a_filter_that_allows_nothing_has_no_pairs():
    index = MultiIndex.from_codes(np.zeros((50, 2), np.uint8))
    assert found_pairs(index.pairs(16, allow=np.zeros(50, bool))) == []
