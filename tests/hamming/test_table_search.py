"""Sums of look-ups: against a NumPy loop, on every path, for tables of every kind."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinbits import DataError, UsageError
from kinbits.hamming import (
    _native,
    factors_of,
    join_factors,
    pack,
    require_factors,
    sign_tables,
    table_distances,
    table_topk,
    table_within,
    topk,
)

LARGEST = np.finfo(np.float32).max


def parts_of(codes, words):
    if words == 256:
        return codes
    return np.stack([codes >> 4, codes & 15], axis=2).reshape(len(codes), 2 * codes.shape[1])


def naive(tables, codes):
    """Return all distances, added up part by part in float32."""
    scaled = tables.shape[1] % 2 and tables.shape[2] == 16
    parts = parts_of(codes[:, :-12] if scaled else codes, tables.shape[2])
    sums = np.zeros((len(tables), len(codes)), np.float32)
    for part in range(parts.shape[1]):
        sums += tables[:, part, parts[:, part]]
    if not scaled:
        return sums
    scale, offset, error = codes[:, -12:].copy().view(np.float32).T
    base, slack = tables[:, -1, 0, None], tables[:, -1, 1, None]
    with np.errstate(invalid="ignore", over="ignore"):
        found = base + (offset + scale * sums - slack * error)
    return np.clip(np.where(np.isnan(found), np.inf, found), -LARGEST, LARGEST)


def ordered(distances, k, allow=None, radius=np.inf):
    rows = np.flatnonzero((distances <= radius) & (True if allow is None else allow))
    rows = rows[np.argsort(distances[rows], kind="stable")][:k]
    return distances[rows], rows


def random_tables(rng, queries, width, words, kind):
    shape = (queries, {16: 2 * width, 0: 2 * width + 1}.get(words, width), words or 16)
    draws = {
        "normal": lambda: rng.standard_normal(shape),
        "whole numbers": lambda: rng.integers(0, 3, shape),
        "equal": lambda: np.full(shape, -2.5),
        "far from 0": lambda: 1e6 + rng.random(shape),
        "one wide part": lambda: rng.random(shape) * np.where(np.arange(shape[1]) == 0, 1e6, 1)[:, None],
        "all sizes": lambda: rng.standard_normal(shape) * 10.0 ** rng.integers(-30, 30, shape),
    }
    return draws[kind]().astype(np.float32)


def random_codes(rng, rows, width, words):
    codes = rng.integers(0, 256, (rows, width), np.uint8)
    if words:
        return codes
    factors = rng.standard_normal((rows, 3), np.float32)
    factors[:, [0, 2]] = np.abs(factors[:, [0, 2]])
    return join_factors(codes, factors)


KINDS = ["normal", "whole numbers", "equal", "far from 0", "one wide part", "all sizes"]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 20),
    st.sampled_from([16, 256, 0]),
    st.sampled_from(KINDS),
    st.integers(0, 400),
    st.integers(1, 5),
    st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_the_nearest_are_those_of_a_numpy_loop(seed, width, words, kind, rows, queries, filtered):
    rng = np.random.default_rng(seed)
    tables = random_tables(rng, queries, width, words, kind)
    codes = random_codes(rng, rows, width, words)
    allow = rng.random(rows) < rng.choice([0.02, 0.5, 1]) if filtered else None
    wanted = naive(tables, codes)
    k = int(rng.integers(0, rows + 3))
    near, found = table_topk(tables, codes, k, allow=allow, threads=2)
    radius = float(np.median(wanted)) if rows else 0.0
    within = table_within(tables, codes, radius, limit=k, allow=allow)
    for query in range(queries):
        distances, places = ordered(wanted[query], k, allow)
        assert np.array_equal(found[query], places)
        assert np.array_equal(near[query], distances)
        distances, places = ordered(wanted[query], k, allow, radius)
        assert np.array_equal(within[query][1], places)
        assert np.array_equal(within[query][0], distances)


@pytest.mark.parametrize("path", _native.simd_paths())
def test_every_path_gives_the_same_bytes(path):
    program = """
import sys, numpy as np
from kinbits.hamming import join_factors, table_topk
rng = np.random.default_rng(3)
codes = rng.integers(0, 256, (5000, 13), np.uint8)
scaled = join_factors(codes, rng.random((5000, 3), np.float32))
for given, parts, words in ((codes, 26, 16), (codes, 13, 256), (scaled, 27, 16)):
    tables = rng.standard_normal((9, parts, words), np.float32)
    for array in table_topk(tables, given, 50):
        sys.stdout.buffer.write(array.tobytes())
"""

    def output(name):
        environment = {**os.environ, "KINBITS_SIMD": name}
        return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True).stdout

    assert output(path) == output("portable")


def test_signs_as_tables_are_the_hamming_distance():
    rng = np.random.default_rng(1)
    codes, queries = (pack(rng.random((count, 24)) < 0.5) for count in (500, 6))
    nibbles = parts_of(queries, 16)
    ones = np.array([bin(word).count("1") for word in range(16)], np.float32)
    tables = ones[nibbles[:, :, None] ^ np.arange(16)]
    near, rows = table_topk(tables, codes, 40)
    hamming, wanted = topk(queries, codes, 40)
    assert np.array_equal(rows, wanted)
    assert np.array_equal(near, hamming)


@pytest.mark.parametrize("words", [16, 256, 0])
def test_all_distances_are_those_of_the_loop(words):
    rng = np.random.default_rng(6)
    codes, tables = random_codes(rng, 40, 5, words), random_tables(rng, 3, 5, words, "normal")
    assert np.array_equal(table_distances(tables, codes), naive(tables, codes))


def test_results_do_not_depend_on_threads():
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 256, (30_000, 4), np.uint8)
    tables = rng.integers(0, 5, (4, 8, 16)).astype(np.float32)  # many ties
    one = table_topk(tables, codes, 300, threads=1)
    several = table_topk(tables, codes, 300, threads=5)
    assert all(np.array_equal(a, b) for a, b in zip(one, several, strict=True))


def test_long_codes_add_up_without_overflow():
    rng = np.random.default_rng(4)
    codes = rng.integers(0, 256, (130, 2100), np.uint8)
    tables = rng.standard_normal((2, 4200, 16)).astype(np.float32)
    near, rows = table_topk(tables, codes, 7)
    for query, distances in enumerate(naive(tables, codes)):
        wanted, places = ordered(distances, 7)
        assert np.array_equal(rows[query], places)
        assert np.array_equal(near[query], wanted)


def test_numbers_that_are_hardly_any_are_not_lost():
    least = np.float32(1.4e-45)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        tables = rng.integers(0, 50, (2, 3, 16)).astype(np.float32) * least
        tables[:, -1, 1] = rng.choice(np.array([0, 0.3], np.float32), 2)  # slack
        scales = rng.choice(np.array([0.3, 0.5, 0.7, 1.1], np.float32), 500)
        factors = np.stack([scales, *(rng.integers(0, 40, (2, 500)).astype(np.float32) * least)], axis=1)
        codes = join_factors(rng.integers(0, 256, (500, 1), np.uint8), factors)
        near, rows = table_topk(tables, codes, 5)
        for query, distances in enumerate(naive(tables, codes)):
            wanted, places = ordered(distances, 5)
            assert np.array_equal(rows[query], places)
            assert np.array_equal(near[query], wanted)


def test_tiny_entries_under_large_scales_are_not_lost():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        tables = np.zeros((1, 9, 16), np.float32)
        tables[0, :-1] = rng.normal(size=(8, 16)) * 1.2e-44
        factors = np.stack([rng.uniform(0.5, 1, 500) * 6e19, np.zeros(500), np.zeros(500)], 1).astype(np.float32)
        codes = join_factors(rng.integers(0, 256, (500, 4), np.uint8), factors)
        wanted, places = ordered(naive(tables, codes)[0], 5)
        near, rows = table_topk(tables, codes, 5)
        assert np.array_equal(rows[0], places)
        assert np.array_equal(near[0], wanted)


def test_a_distance_far_below_0_stays_the_nearest():
    tables = np.zeros((1, 3, 16), np.float32)
    tables[0, 0] = -1e30
    codes = join_factors(np.zeros((2, 1), np.uint8), np.array([[1, 0, 0], [3e38, 0, 0]], np.float32))
    assert table_topk(tables, codes, 2)[1].tolist() == [[1, 0]]
    assert table_distances(tables, codes).tolist() == [[np.float32(-1e30), -LARGEST]]


def test_distances_beyond_float32_are_refused():
    tables = np.full((1, 4, 16), 1e38, np.float32)
    with pytest.raises(DataError, match="more than float32 holds"):
        table_topk(tables, CODES, 1)
    with pytest.raises(DataError, match="add up to more than float32 holds"):
        sign_tables(np.full((1, 8), 3e38))


def test_rows_without_sensible_factors_come_last():
    tables = np.zeros((1, 3, 16), np.float32)
    tables[0, 0], tables[0, -1, 0] = 1, 0.5
    scales = [1.0, np.nan, np.inf, -1.0, 2.0]
    codes = join_factors(np.zeros((5, 1), np.uint8), np.array([[scale, 0, 0] for scale in scales], np.float32))
    most = np.finfo(np.float32).max
    few = np.arange(1000) < 5
    for several, allow in ((codes, None), (np.vstack([codes, *[codes] * 199]), few)):  # all at once, and row by row
        near, rows = table_topk(tables, several, 5, allow=allow)
        assert near.tolist() == [[-0.5, 1.5, 2.5, most, most]]
        assert rows.tolist() == [[3, 0, 4, 1, 2]]
    assert np.array_equal(table_distances(tables, codes)[0], [1.5, most, most, -0.5, 2.5])
    with pytest.raises(DataError, match="row 1 of the codes has no factors"):
        require_factors(codes)
    require_factors(codes[[0, 4]])
    assert factors_of(codes)[4].tolist() == [2, 0, 0]


def test_a_radius_without_end():
    tables = np.zeros((1, 4, 16), np.float32)
    assert len(table_within(tables, CODES, 10**400)[0][1]) == 3


def test_no_rows_and_no_queries():
    tables = np.zeros((2, 2, 16), np.float32)
    assert table_topk(tables[:0], np.zeros((4, 1), np.uint8), 3)[0].shape == (0, 3)
    assert table_topk(tables, np.zeros((0, 1), np.uint8), 3)[0].shape == (2, 0)
    assert table_within(tables[:0], np.zeros((4, 1), np.uint8), 1.0) == []


CODES = np.zeros((3, 2), np.uint8)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (np.zeros((1, 4, 16)), "float64; give float32"),
        (np.zeros((1, 2, 16), np.float32), r"codes of 2 bytes need \(queries, 4, 16\) or \(queries, 2, 256\)"),
        (np.full((1, 4, 16), np.nan, np.float32), "tables hold a value that is not finite"),
        (np.full((1, 4, 16), np.inf, np.float32), "tables hold a value that is not finite"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tables, message):
    with pytest.raises(DataError, match=message):
        table_topk(tables, CODES, 1)


@pytest.mark.parametrize("radius", [float("nan"), "2", True])
def test_a_radius_is_a_number(radius):
    with pytest.raises(UsageError, match="give a number"):
        table_within(np.zeros((1, 4, 16), np.float32), CODES, radius)
