"""Multi-index hashing finds what a full sort finds, whatever the codes, the filter, the strategy and the threads."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinbits import hamming
from kinbits.errors import ArtefactError, DataError, UsageError
from kinbits.hamming import MultiIndex, mih_arrays

STRATEGIES = ["auto", "scan", "grouped", "multi-index"]


def make_codes(seed, rows, bits, kind):
    """Draw codes that are spread evenly, or lie around few centres, or are equal."""
    rng = np.random.default_rng(seed)
    if kind == "uniform":
        return hamming.pack(rng.random((rows, bits)) < 0.5)
    centres = rng.random((1 if kind == "equal" else 3, bits)) < 0.5
    flips = rng.random((rows, bits)) < (0.0 if kind == "equal" else 0.06)
    return hamming.pack(centres[rng.integers(0, len(centres), rows)] ^ flips)


def sorted_rows(queries, codes, allow):
    """Yield the distances of the allowed rows and these rows, in order, for each query."""
    rows = np.flatnonzero(allow)
    for apart in hamming.distances(queries, codes).astype(np.int32):
        order = np.argsort(apart[rows], kind="stable")
        yield apart[rows][order], rows[order]


def assert_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


data_sets = st.tuples(
    st.integers(0, 2**16),
    st.one_of(st.integers(0, 12), st.integers(100, 400)),
    st.integers(1, 200),
    st.sampled_from(["uniform", "clustered", "equal"]),
)


@settings(max_examples=120, deadline=None)
@given(data_sets, st.integers(0, 5), st.sampled_from([0, 1, 2, 9, 60, 500]), st.sampled_from([None, 0.0, 0.05, 0.5]))
def test_topk_is_the_full_sort_cut_at_k(data, q, k, share):
    seed, n, bits, kind = data
    codes, queries = make_codes(seed, n, bits, kind), make_codes(seed + 1, q, bits, kind)
    allow = None if share is None else np.random.default_rng(seed).random(n) < share
    index = MultiIndex.from_codes(codes)
    full = list(sorted_rows(queries, codes, np.ones(n, bool) if allow is None else allow))
    for strategy in STRATEGIES:
        near, rows = index.topk(queries, k, allow=allow, strategy=strategy, threads=1)
        assert near.shape == rows.shape == (q, min(k, n if allow is None else allow.sum()))
        for query, expected in enumerate(full):
            assert_same((near[query], rows[query]), (expected[0][:k], expected[1][:k]))


@settings(max_examples=80, deadline=None)
@given(data_sets, st.sampled_from([0, 1, 3, 8, 30, 300]), st.sampled_from([None, 0, 4, 1000]), st.booleans())
def test_within_is_the_full_sort_cut_at_the_radius(data, radius, limit, filtered):
    seed, n, bits, kind = data
    codes, queries = make_codes(seed, n, bits, kind), make_codes(seed + 1, 3, bits, kind)
    allow = np.random.default_rng(seed).random(n) < 0.4 if filtered else None
    index = MultiIndex.from_codes(codes)
    full = list(sorted_rows(queries, codes, np.ones(n, bool) if allow is None else allow))
    for strategy in STRATEGIES:
        found = index.within(queries, radius, limit=limit, allow=allow, strategy=strategy, threads=1)
        for ours, (near, rows) in zip(found, full, strict=True):
            inside = near <= radius
            assert_same(ours, (near[inside][:limit], rows[inside][:limit]))


@settings(max_examples=60, deadline=None)
@given(data_sets, st.integers(1, 20))
def test_any_number_of_substrings_gives_the_same_answer(data, substrings):
    seed, n, bits, kind = data
    codes, queries = make_codes(seed, n, bits, kind), make_codes(seed + 1, 2, bits, kind)
    used = mih_arrays.used_bits(codes)
    least = -(-used // 12)
    index = MultiIndex.from_codes(codes, substrings=min(used, max(least, substrings)))
    expected = hamming.topk(queries, codes, 7)
    assert_same(index.topk(queries, 7, strategy="multi-index"), expected)


@pytest.mark.parametrize("kind", ["uniform", "clustered"])
def test_a_search_that_gives_up_the_tables_half_way_still_answers_exactly(kind):
    codes, queries = make_codes(1, 3000, 64, kind), make_codes(2, 20, 64, kind)
    index = MultiIndex.from_codes(codes)
    expected = hamming.topk(queries, codes, 20)
    for nanoseconds in (1, 100, 500, 2000, 10_000):
        near, rows = np.empty((20, 20), np.int32), np.empty((20, 20), np.int64)
        index._native.search(queries, 20, 64, np.empty(0, np.uint8), float(nanoseconds), 1, near, rows)
        assert_same((near, rows), expected)


@pytest.mark.parametrize("bits", [64, 128])
def test_every_thread_count_gives_the_same_answer(bits):
    codes, queries = make_codes(3, 2000, bits, "clustered"), make_codes(4, 33, bits, "clustered")
    alone = MultiIndex.from_codes(codes, threads=1)
    together = MultiIndex.from_codes(codes, threads=3)
    for name, array in alone.arrays().items():
        np.testing.assert_array_equal(array, together.arrays()[name])
    for strategy in STRATEGIES:
        expected = alone.topk(queries, 10, strategy=strategy, threads=1)
        assert_same(together.topk(queries, 10, strategy=strategy, threads=5), expected)
        for a, b in zip(
            alone.within(queries, 9, strategy=strategy, threads=1),
            together.within(queries, 9, strategy=strategy, threads=5),
            strict=True,
        ):
            assert_same(a, b)


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 1000])
def test_a_packed_filter_is_the_mask_that_it_was_packed_from(rows):
    codes, queries = make_codes(5, rows, 32, "clustered"), make_codes(6, 4, 32, "clustered")
    mask = np.random.default_rng(7).random(rows) < 0.5
    index = MultiIndex.from_codes(codes)
    packed = np.packbits(mask, bitorder="little")
    packed[-1] |= 0xFF << (rows % 8) & 0xFF if rows % 8 else 0  # bits behind the last row mean nothing
    for strategy in STRATEGIES:
        expected = index.topk(queries, 9, allow=mask, strategy=strategy)
        assert_same(index.topk(queries, 9, allow=packed, strategy=strategy), expected)


def test_many_candidates_at_one_distance_are_cut_at_the_smallest_rows():
    """All codes are equally far: the memory for candidates fills, and ties are settled while the search runs."""
    rng = np.random.default_rng(8)
    order = rng.permuted(np.tile(np.arange(40), (60_000, 1)), axis=1)
    codes = hamming.pack(order < 5)  # five ones each
    query = np.zeros((1, codes.shape[1]), np.uint8)
    index = MultiIndex.from_codes(codes)
    for strategy in ("grouped", "multi-index"):
        near, rows = index.topk(query, 30, strategy=strategy)
        assert near[0].tolist() == [5] * 30
        assert rows[0].tolist() == list(range(30))


def test_a_query_far_from_all_codes_is_answered():
    codes = np.zeros((500, 8), np.uint8)
    query = np.full((1, 8), 255, np.uint8)
    near, rows = MultiIndex.from_codes(codes).topk(query, 3, strategy="multi-index")
    assert near.tolist() == [[64, 64, 64]]
    assert rows.tolist() == [[0, 1, 2]]


def test_counts_beyond_all_reason_mean_everything():
    codes = make_codes(22, 60, 16, "uniform")
    index = MultiIndex.from_codes(codes, threads=10**9)
    for strategy in STRATEGIES:
        assert index.topk(codes, 10**30, strategy=strategy, threads=10**9)[1].shape == (60, 60)
        assert len(index.within(codes, 10**30, limit=10**30, strategy=strategy)[0][1]) == 60
    assert sum(len(first) for first, _, _ in index.pairs(10**30)) == 60 * 59 // 2


def test_the_widest_codes_are_searched():
    codes = np.random.default_rng(9).integers(0, 256, (20, 8191), dtype=np.uint8)
    index = MultiIndex.from_codes(codes)
    for strategy in STRATEGIES:
        assert_same(index.topk(codes[:2], 5, strategy=strategy), hamming.topk(codes[:2], codes, 5))


def test_portable_instructions_give_the_same_answers():
    script = """
import numpy as np
from kinbits import hamming
for width in (4, 8, 16):
    codes = np.random.default_rng(width).integers(0, 256, (5000, width), dtype=np.uint8)
    index = hamming.MultiIndex.from_codes(codes)
    for ours, theirs in zip(
        index.topk(codes[:9] ^ 5, 20, strategy="multi-index"), hamming.topk(codes[:9] ^ 5, codes, 20)
    ):
        assert np.array_equal(ours, theirs)
"""
    environment = {**os.environ, "KINBITS_SIMD": "portable"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_arrays_come_back_from_files_and_answer_the_same(tmp_path):
    codes, queries = make_codes(10, 700, 64, "clustered"), make_codes(11, 5, 64, "clustered")
    built = MultiIndex.from_codes(codes)
    for name, array in built.arrays().items():
        np.save(tmp_path / f"{name}.npy", array)
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in built.arrays()}
    opened = MultiIndex.from_arrays(codes, mapped)
    for strategy in STRATEGIES:
        assert_same(opened.topk(queries, 10, strategy=strategy), built.topk(queries, 10, strategy=strategy))
    assert opened.explain(k=10) == built.explain(k=10)
    assert len(opened) == 700


@pytest.mark.parametrize("name", ["layout", "unique", "starts", "rows", "offsets", "entries", "samples"])
def test_arrays_of_another_shape_or_dtype_are_refused(name):
    codes = make_codes(12, 50, 16, "clustered")
    arrays = MultiIndex.from_codes(codes).arrays()
    for wrong in (arrays[name][:-1], arrays[name].astype(np.float32), np.concatenate([arrays[name], arrays[name]])):
        with pytest.raises(DataError, match="build it again"):
            MultiIndex.from_arrays(codes, {**arrays, name: wrong})
    with pytest.raises(DataError, match="has the arrays"):
        MultiIndex.from_arrays(codes, {key: array for key, array in arrays.items() if key != name})


def test_arrays_of_other_codes_or_another_format_are_refused():
    codes = make_codes(13, 50, 16, "uniform")
    arrays = MultiIndex.from_codes(codes).arrays()
    for other in (codes[:-1], make_codes(13, 50, 24, "uniform")):
        with pytest.raises(DataError, match="is of 50 codes of 2 bytes"):
            MultiIndex.from_arrays(other, arrays)
    newer = arrays["layout"].copy()
    newer[0] = 99
    with pytest.raises(DataError, match="format 99"):
        MultiIndex.from_arrays(codes, {**arrays, "layout": newer})


def damaged(rng, arrays):
    """Overwrite some bytes of one array, at random."""
    name = rng.choice(sorted(arrays))
    hurt = arrays[name].copy()
    if hurt.nbytes:
        raw = hurt.reshape(-1).view(np.uint8)
        at = rng.integers(0, raw.size, rng.choice([1, 1, 4, 64]))
        raw[at] = rng.integers(0, 256, at.size)
    return {**arrays, name: hurt}


@pytest.mark.parametrize("bits", [30, 64, 128])
@pytest.mark.parametrize("kind", ["uniform", "clustered"])
def test_damaged_arrays_raise_or_answer_but_never_crash(bits, kind):
    codes, queries = make_codes(14, 300, bits, kind), make_codes(15, 4, bits, kind)
    arrays = MultiIndex.from_codes(codes).arrays()
    mask = np.arange(300) % 3 == 0
    rng = np.random.default_rng(bits)
    complaints = 0
    for _ in range(150):
        try:
            index = MultiIndex.from_arrays(codes, damaged(rng, arrays))
            for strategy in ("grouped", "multi-index", "auto"):
                _, rows = index.topk(queries, 20, strategy=strategy)
                assert rows.min() >= 0
                assert rows.max() < 300
                index.topk(queries, 20, allow=mask, strategy=strategy)
                index.within(queries, bits // 3, strategy=strategy)
            for radius in (1, bits // 4):
                for first, second, _ in index.pairs(radius):
                    assert max(first.max(), second.max()) < 300
        except (DataError, ArtefactError):
            complaints += 1
    assert complaints > 10


def test_a_position_that_points_outside_is_named_as_damage():
    codes = make_codes(16, 300, 64, "uniform")
    arrays = MultiIndex.from_codes(codes).arrays()
    arrays["offsets"] = np.array(arrays["offsets"])
    arrays["offsets"][1:-1] = 4_000_000_000
    at = np.flatnonzero(MultiIndex.from_codes(codes).arrays()["offsets"] == 0)
    arrays["offsets"][at] = 0
    last = np.flatnonzero(MultiIndex.from_codes(codes).arrays()["offsets"] == 300)
    arrays["offsets"][last] = 300
    index = MultiIndex.from_arrays(codes, arrays)
    with pytest.raises(ArtefactError, match="build it again"):
        index.topk(codes[:50], 5, strategy="multi-index")


def test_collapsed_codes_are_searched_by_their_groups_and_even_codes_by_the_tables():
    collapsed = MultiIndex.from_codes(np.repeat(make_codes(17, 100, 64, "uniform"), 2000, axis=0))
    chosen = collapsed.explain(k=10)
    assert chosen.distinct == 100
    assert chosen.strategy != "scan"
    assert chosen.grouped_ms < chosen.scan_ms / 1000
    even = MultiIndex.from_codes(np.random.default_rng(18).integers(0, 256, (200_000, 8), dtype=np.uint8))
    assert even.explain(radius=3).strategy == "multi-index"
    assert even.explain(radius=30).strategy == "scan"
    assert even.explain(k=200_000).strategy == "scan"
    assert even.explain(k=10, radius=3).strategy == "multi-index"


def test_the_explanation_says_what_is_chosen_and_why_with_the_numbers():
    index = MultiIndex.from_codes(make_codes(19, 5000, 64, "uniform"))
    told = str(index.explain(radius=0))
    assert told.startswith("multi-index: probing the substring tables is cheapest")
    assert "5,000 codes" in told
    assert "ms" in told
    assert "more than a scan" in str(index.explain(k=5000))


def test_a_rare_filter_counts_as_a_search_for_more_neighbours():
    index = MultiIndex.from_codes(np.random.default_rng(20).integers(0, 256, (100_000, 8), dtype=np.uint8))
    packed = np.packbits(np.arange(100_000) % 1000 == 0, bitorder="little")
    assert index._chosen("auto", 2, np.inf, packed[:0], 1) == index.explain(k=2).strategy
    assert index._chosen("auto", 90, np.inf, packed, 1) == "scan" == index.explain(k=90_000).strategy


def test_a_rare_filter_over_few_groups_is_left_to_the_scan():
    """To count the allowed rows of each group would take longer than to compare all codes."""
    index = MultiIndex.from_codes(np.repeat(make_codes(23, 50, 64, "uniform"), 4000, axis=0))
    packed = np.packbits(np.arange(200_000) % 20_000 == 0, bitorder="little")
    assert index._chosen("auto", 5, np.inf, packed[:0], 1) != "scan"
    assert index._chosen("auto", 5, np.inf, packed, 1) == "scan"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda i, c: i.topk(c, -1), UsageError, "k=-1"),
        (lambda i, c: i.topk(c, 1, strategy="fast"), UsageError, "unknown strategy 'fast'"),
        (lambda i, c: i.topk(c, 1, threads=0), UsageError, "threads=0"),
        (lambda i, c: i.topk(c[:, :1], 1), DataError, "1 bytes wide, but 2 are needed"),
        (lambda i, c: i.topk(c.astype(int), 1), DataError, "packed codes are uint8"),
        (lambda i, c: i.topk(c, 1, allow=np.ones(3, bool)), DataError, r"bool \(9,\), or uint8 \(2,\)"),
        (lambda i, c: i.topk(c, 1, allow=np.ones(9, int)), DataError, r"bool \(9,\), or uint8 \(2,\)"),
        (lambda i, c: i.within(c, 1.5), UsageError, "radius=1.5"),
        (lambda i, c: i.within(c, 1, limit=-2), UsageError, "limit=-2"),
        (lambda i, c: i.pairs(-1), UsageError, "radius=-1"),
        (lambda i, c: i.pairs(1, allow=np.ones(3, bool)), DataError, "allow is bool"),
        (lambda i, c: i.explain(), UsageError, "needs k, radius or both"),
        (lambda i, c: MultiIndex.from_codes(c, substrings=0), UsageError, "substrings=0"),
        (lambda i, c: MultiIndex.from_codes(c, substrings=17), UsageError, "give 1 to 16"),
        (lambda i, c: MultiIndex.from_codes(c, substrings=True), UsageError, "substrings=True"),
        (lambda i, c: MultiIndex.from_codes(c.astype(np.int8)), DataError, "packed codes are uint8"),
    ],
)
def test_wrong_calls_are_named_at_once(call, error, message):
    codes = make_codes(21, 9, 16, "uniform")
    codes[0, 1] |= 1
    with pytest.raises(error, match=message):
        call(MultiIndex.from_codes(codes), codes)
