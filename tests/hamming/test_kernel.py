"""The native kernel equals the NumPy reference bit for bit: every width, block border and instruction set."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinbits import hamming
from kinbits.errors import DataError, UsageError
from kinbits.hamming import _native, reference

WIDTHS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 16, 17, 31, 32, 33, 64, 100]


def random_codes(seed, rows, width, values=256):
    return np.random.default_rng(seed).integers(0, values, (rows, width), dtype=np.uint8)


def same(found, expected):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours[1], theirs[1])
        np.testing.assert_array_equal(ours[0], theirs[0])


@pytest.mark.parametrize("width", WIDTHS)
def test_distances_equal_the_reference_across_block_borders(width):
    queries, codes = random_codes(0, 3, width), random_codes(1, 2051, width)
    np.testing.assert_array_equal(hamming.distances(queries, codes), reference.distances(queries, codes))


@pytest.mark.parametrize("width", WIDTHS)
def test_histograms_equal_the_reference(width):
    queries, codes = random_codes(2, 3, width), random_codes(3, 1500, width)
    relevant = np.random.default_rng(4).random((3, 1500)) < 0.3
    for ours, theirs in zip(
        hamming.histograms(queries, codes, relevant),
        reference.histograms(queries, codes, relevant),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("sizes", [[1500], [0, 700, 0, 800], [1] * 60, [5, 35000]])
@pytest.mark.parametrize("width", [1, 4, 8, 9, 16, 33])
def test_counts_by_run_equal_the_reference(width, sizes, threads):
    queries, codes = random_codes(2, 5, width), random_codes(3, sum(sizes), width)
    levels = np.random.default_rng(4).integers(0, 3, (5, len(sizes))).astype(np.uint16)
    ours = hamming.tally(queries, codes, np.cumsum(sizes), levels, count=3, threads=threads)
    per_item = np.repeat(levels, sizes, axis=1)
    np.testing.assert_array_equal(ours, reference.tally(queries, codes, per_item, 3))


def test_runs_that_do_not_cover_the_codes_are_refused():
    codes, one = random_codes(0, 4, 2), np.zeros((4, 1), np.uint16)
    for ends, levels in (([3], one), ([5], one), ([4, 2, 4], np.zeros((4, 3), np.uint16)), ([4], one[:3])):
        with pytest.raises(DataError, match="ends are"):
            hamming.tally(codes, codes, np.array(ends), levels)
    with pytest.raises(DataError, match="count=2"):
        hamming.tally(codes, codes, np.array([4]), one + 2, count=2)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4), st.integers(0, 40), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_any_shape_equals_the_reference(q, n, width, seed):
    queries, codes = random_codes(seed, q, width), random_codes(seed + 1, n, width)
    np.testing.assert_array_equal(hamming.distances(queries, codes), reference.distances(queries, codes))


@pytest.mark.parametrize("queries", [1, 7, 8, 20])
@pytest.mark.parametrize("width", [*WIDTHS, 128, 256, 257])
def test_every_radius_finds_what_the_reference_finds_across_block_borders(width, queries):
    """With 8 queries and more, codes are cut into bit planes; with 2,049 bits and more, they never are."""
    asked, codes = random_codes(5, queries, width), random_codes(6, 1100, width)
    codes[:40] = asked[0] ^ (np.random.default_rng(7).random((40, width)) < 0.1)
    bits = 8 * width
    for radius in {0, 1, 2, bits // 3, 3 * bits // 8, bits // 2 - 1, bits // 2, 9 * bits // 16, bits - 1, bits}:
        same(hamming.within(asked, codes, radius), reference.nearest(asked, codes, len(codes), radius))


@settings(max_examples=150, deadline=None)
@given(
    q=st.integers(0, 20),
    n=st.integers(0, 1500),
    width=st.sampled_from(WIDTHS),
    limit=st.sampled_from([0, 1, 2, 10, 100, 10**6]),
    radius=st.sampled_from([0, 1, 3, 8, 20, 64, 800]),
    allowed=st.sampled_from([None, 0, 0.01, 0.3, 0.9, 1]),
    values=st.sampled_from([1, 2, 4, 256]),  # few values tie, one makes all codes equal
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_search_equals_the_reference(q, n, width, limit, radius, allowed, values, threads, seed):
    queries, codes = random_codes(seed, q, width, values), random_codes(seed + 1, n, width, values)
    allow = None if allowed is None else np.random.default_rng(seed).random(n) < allowed
    found = hamming.within(queries, codes, radius, limit=limit, allow=allow, threads=threads)
    same(found, reference.nearest(queries, codes, limit, radius, allow))


def test_threads_that_share_a_large_scan_return_what_one_returns():
    queries, codes = random_codes(8, 300, 4), random_codes(9, 70_000, 4)
    alone = hamming.topk(queries, codes, 50, threads=1)
    for threads in (2, 3, 7):
        for ours, theirs in zip(hamming.topk(queries, codes, 50, threads=threads), alone, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_batch_returns_what_its_queries_return_alone():
    queries, codes = random_codes(10, 530, 8, values=4), random_codes(11, 3000, 8, values=4)
    together = hamming.topk(queries, codes, 20)
    for query in range(0, 530, 53):
        for ours, theirs in zip(hamming.topk(queries[query : query + 1], codes, 20), together, strict=True):
            np.testing.assert_array_equal(ours[0], theirs[query])


@pytest.mark.slow
@pytest.mark.parametrize("path", _native.simd_paths())
def test_every_instruction_set_of_this_processor_passes_these_tests(path):
    if path == hamming.simd():
        return  # that is what the other tests run
    chosen = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__, "-k", "not instruction_set"],
        env={**os.environ, "KINBITS_SIMD": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert chosen.returncode == 0, chosen.stdout


@pytest.mark.parametrize("path", _native.simd_paths())
def test_an_instruction_set_can_be_forced(path):
    asked = [sys.executable, "-c", "from kinbits import hamming; print(hamming.simd())"]
    named = subprocess.run(asked, env={**os.environ, "KINBITS_SIMD": path}, capture_output=True, text=True, check=True)
    assert named.stdout.strip() == path


def test_an_instruction_set_that_is_not_there_is_refused_by_name():
    script = """
import numpy as np
from kinbits import hamming
from kinbits.errors import DataError, UsageError
codes = np.zeros((1, 1), np.uint8)
for use in (hamming.simd, lambda: hamming.topk(codes, codes, 1), lambda: hamming.distances(codes, codes)):
    try:
        use()
    except UsageError as error:
        print(error)
"""
    asked = [sys.executable, "-c", script]
    named = subprocess.run(asked, env={**os.environ, "KINBITS_SIMD": "mmx"}, capture_output=True, text=True, check=True)
    assert named.stdout.count("KINBITS_SIMD=mmx: this processor runs") == 3
    assert "portable" in named.stdout


def test_the_number_of_threads_can_be_set(monkeypatch):
    monkeypatch.setenv("KINBITS_THREADS", "3")
    assert hamming.threads() == 3
    monkeypatch.setenv("KINBITS_THREADS", "many")
    with pytest.raises(UsageError, match="KINBITS_THREADS=many"):
        hamming.threads()
    monkeypatch.delenv("KINBITS_THREADS")
    assert hamming.threads() >= 1


def test_the_widest_code_does_not_overflow():
    opposite = np.full((9, 8191), 255, np.uint8)
    assert hamming.distances(np.zeros_like(opposite), opposite)[0, 0] == 65528
    for queries in (opposite[:1], opposite):
        near, _ = hamming.topk(np.zeros_like(queries), opposite, 2)
        assert near.tolist() == [[65528, 65528]] * len(queries)


def test_reads_memory_mapped_codes_in_place(tmp_path):
    codes = random_codes(5, 100, 8)
    codes.tofile(tmp_path / "codes")
    mapped = np.memmap(tmp_path / "codes", np.uint8, mode="r", shape=(100, 8))
    np.testing.assert_array_equal(hamming.distances(codes[:2], mapped), hamming.distances(codes[:2], codes))
    np.testing.assert_array_equal(hamming.topk(codes, mapped, 3), hamming.topk(codes, codes, 3))


def test_slices_with_gaps_are_measured_correctly():
    codes = random_codes(6, 200, 16)
    gappy = codes[::3, ::2]
    np.testing.assert_array_equal(hamming.distances(gappy, gappy), reference.distances(gappy, gappy))
    same(hamming.within(gappy, gappy, 30), reference.nearest(gappy, gappy, 200, 30))


def test_threads_of_the_caller_get_the_same_distances():
    queries, codes = random_codes(7, 8, 8), random_codes(8, 20000, 8)
    expected, found = hamming.topk(queries, codes, 99), [None] * 4

    def work(slot):
        found[slot] = hamming.topk(queries, codes, 99)

    threads = [threading.Thread(target=work, args=(slot,)) for slot in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(result, expected) for result in found)


def test_unchecked_entry_refuses_arrays_that_do_not_fit_instead_of_reading_or_writing_outside():
    queries, codes = random_codes(9, 2, 4), random_codes(9, 5, 4)
    for out in (np.empty((2, 4), np.uint16), np.empty((1, 5), np.uint16)):
        with pytest.raises(ValueError, match="do not fit"):
            _native.distances(queries, codes, out)
    with pytest.raises(ValueError, match="do not fit"):
        _native.histograms(queries, codes, np.zeros((2, 5), bool), np.zeros((2, 32, 2), np.int64))
    ends, levels, counts = np.array([5]), np.zeros((2, 1), np.uint16), np.zeros((2, 1, 33), np.int64)
    for changed in ({1: codes[:4]}, {2: np.array([6])}, {3: levels + 1}, {3: levels[:1]}, {4: counts[:, :, 1:].copy()}):
        given = [queries, codes, ends, levels, counts, 1]
        for place, value in changed.items():
            given[place] = value
        with pytest.raises(ValueError, match="do not fit"):
            _native.tally(*given)
    for wrong in (
        (queries[:, :3].copy(), codes, 1, 1, None, 1),
        (queries, codes, 1, 33, None, 1),
        (queries, codes, 1, 1, np.zeros(2, np.uint8), 1),
        (queries, codes, 1, 1, None, 0),
    ):
        with pytest.raises(ValueError, match="do not fit"):
            _native.search(*wrong)
