"""The native kernel equals the NumPy reference bit for bit, whatever the width."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinbits import hamming
from kinbits.hamming import _native, _reference

WIDTHS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 16, 17, 31, 32, 33, 64, 100]


def random_codes(seed, rows, width):
    return np.random.default_rng(seed).integers(0, 256, (rows, width), dtype=np.uint8)


@pytest.mark.parametrize("width", WIDTHS)
def test_distances_equal_the_reference_across_block_borders(width):
    queries, codes = random_codes(0, 3, width), random_codes(1, 2051, width)
    np.testing.assert_array_equal(hamming.distances(queries, codes), _reference.distances(queries, codes))


@pytest.mark.parametrize("width", WIDTHS)
def test_histograms_equal_the_reference(width):
    queries, codes = random_codes(2, 3, width), random_codes(3, 1500, width)
    relevant = np.random.default_rng(4).random((3, 1500)) < 0.3
    for ours, theirs in zip(
        hamming.histograms(queries, codes, relevant),
        _reference.histograms(queries, codes, relevant),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4), st.integers(0, 40), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_any_shape_equals_the_reference(q, n, width, seed):
    queries, codes = random_codes(seed, q, width), random_codes(seed + 1, n, width)
    np.testing.assert_array_equal(hamming.distances(queries, codes), _reference.distances(queries, codes))


def test_the_widest_code_does_not_overflow():
    opposite = np.full((1, 8191), 255, np.uint8)
    assert hamming.distances(np.zeros_like(opposite), opposite)[0, 0] == 65528


def test_reads_memory_mapped_codes_in_place(tmp_path):
    codes = random_codes(5, 100, 8)
    codes.tofile(tmp_path / "codes")
    mapped = np.memmap(tmp_path / "codes", np.uint8, mode="r", shape=(100, 8))
    np.testing.assert_array_equal(hamming.distances(codes[:2], mapped), hamming.distances(codes[:2], codes))


def test_slices_with_gaps_are_measured_correctly():
    codes = random_codes(6, 200, 16)
    gappy = codes[::3, ::2]
    np.testing.assert_array_equal(hamming.distances(gappy, gappy), _reference.distances(gappy, gappy))


def test_threads_get_the_same_distances():
    queries, codes = random_codes(7, 8, 8), random_codes(8, 20000, 8)
    expected, found = hamming.distances(queries, codes), [None] * 4

    def work(slot):
        found[slot] = hamming.distances(queries, codes)

    threads = [threading.Thread(target=work, args=(slot,)) for slot in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(result, expected) for result in found)


def test_unchecked_entry_refuses_arrays_that_do_not_fit_instead_of_writing_outside():
    queries, codes = random_codes(9, 2, 4), random_codes(9, 5, 4)
    for out in (np.empty((2, 4), np.uint16), np.empty((1, 5), np.uint16)):
        with pytest.raises(ValueError, match="do not fit"):
            _native.distances(queries, codes, out)
    with pytest.raises(ValueError, match="do not fit"):
        _native.histograms(queries, codes, np.zeros((2, 5), bool), np.zeros((2, 32, 2), np.int64))
