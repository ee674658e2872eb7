"""Statistics of codes: the sheet's worked numbers, brute force over pairs, and what they say of broken codes."""

import json

import numpy as np
import pytest

from kinbits import hamming
from kinbits.errors import DataError, PlatformError, UsageError
from kinbits.metrics import code_statistics, plot_statistics

SHEET = hamming.pack(np.array([[1, 1, -1, 1], [1, -1, -1, -1], [1, 1, 1, -1], [1, -1, 1, 1]]) > 0)
LOGITS = np.array([[0.9, 0.8, -0.7, 0.6], [1.1, -0.5, -0.9, -0.2], [0.7, 0.9, 0.4, -1.2], [0.8, -0.6, 0.5, 0.9]])


def random_codes(rows=300, bits=12, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    centres = rng.normal(size=(classes, bits))
    return hamming.pack(centres[labels] + rng.normal(size=(rows, bits))), labels


def test_the_sheets_example():
    found = code_statistics(SHEET, 4, logits=LOGITS)
    assert found.imbalance == pytest.approx(0.25)
    assert found.dead_bits == 1
    assert found.entropy == pytest.approx(0.75)
    assert found.dependence == pytest.approx(0, abs=1e-12)
    assert found.correlation == pytest.approx(0, abs=1e-12)
    assert found.quantization_error == pytest.approx(0.135625)
    assert found.quantization_cosine == pytest.approx(0.948071, abs=1e-6)
    assert found.distinct == 4


def test_the_sheets_collisions():
    codes = np.array([[0], [0], [255], [255]], np.uint8)
    found = code_statistics(codes, 8, [0, 0, 0, 1])
    assert found.collision_within == pytest.approx(1 / 3)
    assert found.collision_between == pytest.approx(1 / 3)
    multi = code_statistics(codes, 8, [[1, 0], [1, 0], [1, 0], [0, 1]])
    assert (multi.collision_within, multi.collision_between) == (found.collision_within, found.collision_between)


@pytest.mark.parametrize("bits", [5, 12, 64])
def test_distances_and_collisions_equal_a_loop_over_all_pairs(bits):
    codes, labels = random_codes(bits=bits)
    near = hamming.distances(codes, codes)
    upper = np.triu(np.ones_like(near, bool), 1)
    same = labels[:, None] == labels
    within, between = near[upper & same].astype(float), near[upper & ~same].astype(float)
    found = code_statistics(codes, bits, labels)
    assert found.distance_within == pytest.approx(within.mean())
    assert found.distance_between == pytest.approx(between.mean())
    assert found.mean_distance == pytest.approx(near[upper].mean())
    assert found.separation == pytest.approx(
        (between.mean() - within.mean()) / np.sqrt((within.var() + between.var()) / 2)
    )
    assert found.collision_within == pytest.approx((within == 0).mean())
    assert found.collision_between == pytest.approx((between == 0).mean())
    np.testing.assert_array_equal(found.within, np.bincount(within.astype(int), minlength=bits + 1))
    np.testing.assert_array_equal(found.between, np.bincount(between.astype(int), minlength=bits + 1))


def test_correlations_equal_those_of_numpy():
    codes, _ = random_codes()
    found = code_statistics(codes, 12)
    expected = np.corrcoef(hamming.unpack(codes, 12).T)
    np.testing.assert_allclose(found.bit_correlations, expected, atol=1e-6)
    assert found.correlation == pytest.approx(np.abs(expected[~np.eye(12, dtype=bool)]).mean())


def test_drawn_pairs_agree_with_all_pairs():
    codes, labels = random_codes(2000)
    exact = code_statistics(codes, 12, labels)
    few = {"exact_items": 1000, "drawn_pairs": 1_500_000}
    drawn = code_statistics(codes, 12, labels, **few)
    assert drawn.sampled
    assert drawn.within.sum() + drawn.between.sum() == 1_500_000
    assert str(drawn).endswith("from 1,500,000 drawn pairs")
    assert not exact.sampled
    for name in ("mean_distance", "distance_within", "distance_between", "separation", "effective_bits"):
        assert getattr(drawn, name) == pytest.approx(getattr(exact, name), rel=0.02), name
    assert drawn.collision_within == exact.collision_within
    multi = np.eye(4, dtype=int)[labels]
    assert code_statistics(codes, 12, multi, **few).collision_within == pytest.approx(exact.collision_within, rel=0.1)


def test_effective_bits_count_copies_once():
    rng = np.random.default_rng(0)
    fair = rng.random((4000, 16)) < 0.5
    assert code_statistics(hamming.pack(fair), 16).effective_bits == pytest.approx(16, rel=0.05)
    doubled = np.concatenate([fair, fair], axis=1)
    assert code_statistics(hamming.pack(doubled), 32).effective_bits == pytest.approx(16, rel=0.05)


def test_unlabelled_items_are_in_no_pair_of_classes():
    codes, labels = random_codes()
    some = np.concatenate([codes, codes[:50] ^ np.array([255, 240], np.uint8)])
    with_unlabelled = code_statistics(some, 12, np.concatenate([labels, np.full(50, -1)]))
    without = code_statistics(codes, 12, labels)
    for name in ("distance_within", "distance_between", "collision_within", "collision_between"):
        assert getattr(with_unlabelled, name) == pytest.approx(getattr(without, name)), name


def test_a_constant_code_is_seen_at_once():
    found = code_statistics(np.zeros((50, 2), np.uint8), 16, np.arange(50) % 2, np.zeros((50, 16)))
    assert (found.distinct, found.dead_bits, found.effective_bits, found.imbalance) == (1, 16, 0.0, 1.0)
    assert (found.collision_within, found.collision_between, found.separation) == (1.0, 1.0, 0.0)
    assert (found.tie_size, found.distances_used, found.empty_balls) == (49.0, 1.0, 0.0)
    assert found.quantization_cosine == 0.0


def test_ties_and_empty_balls_are_those_of_the_queries():
    codes = np.array([[0], [1], [255], [255]], np.uint8)
    found = code_statistics(codes, 8, queries=np.array([[0], [0b1111]], np.uint8))
    # distances 0 1 8 8 and 4 3 4 4
    assert found.tie_size == pytest.approx(((1 + 1 + 4) / 4 + (1 + 9) / 4) / 2)
    assert found.distances_used == 2.5
    assert found.empty_balls == 0.5


def test_the_table_fits_a_terminal_and_the_rest_is_json():
    codes, labels = random_codes()
    found = code_statistics(codes, 12, labels)
    text = str(found)
    assert max(map(len, text.splitlines())) <= 80
    assert "within classes" in text
    assert "quantization" not in text
    assert "within classes" not in str(code_statistics(codes, 12))
    read = json.loads(json.dumps(found.to_dict()))
    assert read["distinct"] == found.distinct
    assert sum(read["within"]) + sum(read["between"]) == 300 * 299 // 2


def test_a_plot_is_written_and_a_bad_place_is_named(tmp_path):
    codes, labels = random_codes()
    for found in (code_statistics(codes, 12, labels), code_statistics(SHEET, 4)):
        assert plot_statistics(found, tmp_path / "s.png").stat().st_size > 10_000
    with pytest.raises(PlatformError, match=r"nowhere/s\.png cannot be written"):
        plot_statistics(found, tmp_path / "nowhere" / "s.png")
    for name in ("s.doc", "s", "s.pngx"):
        with pytest.raises(UsageError, match=f"'{name}' names no format of a plot; end it in .png"):
            plot_statistics(found, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["s.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((SHEET[:1], 4), "1 codes; statistics need 2"),
        ((SHEET, 9), "2 are needed"),
        ((SHEET, 2), "set behind the first 2"),
        ((SHEET, 4, [0, 1]), "4 codes, but labels for 2"),
        ((SHEET, 4, [0.0, 1, 2, np.nan]), "NaN is no label"),
        ((SHEET, 4, None, LOGITS[:, :3]), r"give float \(4, 4\)"),
        ((SHEET, 4, None, np.where(LOGITS > 1, np.nan, LOGITS)), "logits hold NaN"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises((DataError, UsageError), match=message):
        code_statistics(*arguments)


def test_an_empty_set_of_queries_is_refused():
    with pytest.raises(DataError, match="no query codes"):
        code_statistics(SHEET, 4, queries=SHEET[:0])
