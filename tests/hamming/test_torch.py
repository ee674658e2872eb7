"""Codes in a tensor are searched with the same answers as codes in an array, ties included."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinbits import hamming
from kinbits.errors import DataError, UsageError
from kinbits.hamming import torch_search
from kinbits.hamming.torch_search import Tuning

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"))]
WAYS = {"popcount": {}, "product": {"cpu": 1, "cuda": 1}}


def random_codes(seed, rows, width, values=256):
    return np.random.default_rng(seed).integers(0, values, (rows, width), dtype=np.uint8)


def tensor(array, device="cpu"):
    return torch.from_numpy(array.copy()).to(device)


def assert_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        assert str(ours.dtype).removeprefix("torch.") == str(theirs.dtype)
        np.testing.assert_array_equal(ours.cpu().numpy(), theirs)


def assert_all_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        assert_same(ours, theirs)


@pytest.fixture(params=WAYS)
def small_chunks(request):
    """Let a few rows already cross every border between chunks, and force one way of measuring."""
    return {"tuning": Tuning(chunk_bytes=1000, first_pairs=20, growth=2, product_queries=WAYS[request.param])}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("width", [1, 2, 3, 4, 7, 8, 9, 16, 17, 31, 32, 64, 128, 129])
def test_every_width_is_measured_and_searched_like_the_kernel(width, way, device):
    forced = {"tuning": Tuning(product_queries=WAYS[way])}
    codes, queries = random_codes(0, 5000, width), random_codes(1, 3, width)
    queries[0], codes[7] = 0, 255  # as far apart as can be
    held = tensor(codes, device)
    np.testing.assert_array_equal(
        torch_search.distances(queries, held, **forced).cpu().numpy(), hamming.distances(queries, codes)
    )
    assert_same(torch_search.topk(queries, held, 20, **forced), hamming.topk(queries, codes, 20))
    radius = 4 * width - 2
    assert_all_same(torch_search.within(queries, held, radius, **forced), hamming.within(queries, codes, radius))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 5), st.integers(0, 60), st.integers(1, 3), st.integers(0, 70), st.booleans(), st.integers(0, 2**16)
)
def test_topk_over_many_ties_is_that_of_the_kernel(q, n, width, k, filtered, seed):
    queries, codes = random_codes(seed, q, width, 4), random_codes(seed + 1, n, width, 4)
    allow = np.random.default_rng(seed).random(n) < 0.5 if filtered else None
    held = None if allow is None else tensor(allow)
    assert_same(
        torch_search.topk(tensor(queries), tensor(codes), k, held), hamming.topk(queries, codes, k, allow=allow)
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 5), st.integers(0, 60), st.integers(0, 25), st.booleans(), st.integers(0, 9), st.integers(0, 2**16)
)
def test_within_over_many_ties_is_that_of_the_kernel(q, n, radius, filtered, limit, seed):
    queries, codes = random_codes(seed, q, 2, 4), random_codes(seed + 1, n, 2, 4)
    allow = np.random.default_rng(seed).random(n) < 0.5 if filtered else None
    held = None if allow is None else tensor(allow)
    expected = hamming.within(queries, codes, radius, allow=allow)
    assert_all_same(torch_search.within(queries, tensor(codes), radius, allow=held), expected)
    nearest = [(near[:limit], rows[:limit]) for near, rows in expected]
    assert_all_same(torch_search.within(queries, tensor(codes), radius, limit, held), nearest)


@pytest.mark.parametrize("order", ["random", "falling", "rising", "equal"])
def test_answers_do_not_depend_on_where_chunks_end(order, small_chunks):
    queries, codes = random_codes(2, 6, 2, 8), random_codes(3, 300, 2, 8)
    by_distance = np.argsort(hamming.distances(queries[:1], codes)[0], kind="stable")
    codes = codes[
        {"random": slice(None), "falling": by_distance[::-1], "rising": by_distance, "equal": [0] * 300}[order]
    ]
    allow = np.random.default_rng(4).random(300) < 0.7
    for k in (1, 5, 40, 299, 500):
        assert_same(torch_search.topk(queries, tensor(codes), k, **small_chunks), hamming.topk(queries, codes, k))
        filtered = torch_search.topk(queries, tensor(codes), k, tensor(allow), **small_chunks)
        assert_same(filtered, hamming.topk(queries, codes, k, allow=allow))
    for radius in (0, 3, 16, 1000):
        found = torch_search.within(queries, tensor(codes), radius, **small_chunks)
        assert_all_same(found, hamming.within(queries, codes, radius))


def test_the_widest_code_does_not_overflow():
    opposite = np.full((2, 8191), 255, np.uint8)
    near, rows = torch_search.topk(np.zeros((1, 8191), np.uint8), tensor(opposite), 5)
    assert near.tolist() == [[65528, 65528]]
    assert rows.tolist() == [[0, 1]]


def test_more_queries_than_are_taken_at_one_time():
    queries, codes = random_codes(5, 1030, 2), random_codes(6, 50, 2)
    assert_same(torch_search.topk(queries, tensor(codes), 3), hamming.topk(queries, codes, 3))
    assert_all_same(torch_search.within(queries, tensor(codes), 5), hamming.within(queries, codes, 5))
    np.testing.assert_array_equal(torch_search.distances(queries, tensor(codes)), hamming.distances(queries, codes))


@pytest.mark.parametrize("n", [0, 1, 8, 13])
def test_packed_bits_allow_the_same_rows_as_bools(n):
    codes, allow = random_codes(7, n, 2), np.random.default_rng(8).random(n) < 0.5
    bits = np.packbits(allow, bitorder="little")
    expected = hamming.topk(codes, codes, 9, allow=allow)
    for mask in (allow, bits, tensor(allow), tensor(bits)):
        assert_same(torch_search.topk(codes, tensor(codes), 9, mask), expected)


def test_slices_with_gaps_and_from_odd_addresses_are_read_correctly():
    codes = random_codes(9, 400, 20)
    for part in (codes[::3, ::2], codes[1:, 3:11], codes.ravel()[5:-11].reshape(-1, 16)):
        gappy = torch.from_numpy(part)
        assert_same(torch_search.topk(gappy[:4], gappy, 7), hamming.topk(part[:4], part, 7))


def test_the_codes_themselves_stay_as_they_were():
    codes = tensor(random_codes(10, 50, 8))
    before = codes.clone()
    torch_search.topk(codes, codes, 3)
    assert torch.equal(codes, before)


@pytest.mark.parametrize(
    ("queries", "codes", "allow", "message"),
    [
        (np.zeros((1, 2), np.uint8), torch.zeros(3, 2), None, "torch.float32; packed codes are uint8"),
        (np.zeros((1, 2), np.uint8), torch.zeros(3, dtype=torch.uint8), None, "one row per code"),
        (np.zeros((1, 2), np.uint8), torch.zeros((3, 0), dtype=torch.uint8), None, "0 bytes wide"),
        (np.zeros((1, 3), np.uint8), torch.zeros((3, 2), dtype=torch.uint8), None, "3 bytes wide, but 2"),
        (np.zeros((1, 2), np.int64), torch.zeros((3, 2), dtype=torch.uint8), None, "int64; packed codes"),
        (np.zeros((1, 2), np.uint8), torch.zeros((3, 2), dtype=torch.uint8), np.ones(4, bool), r"bool \(3,\)"),
        (np.zeros((1, 2), np.uint8), torch.zeros((3, 2), dtype=torch.uint8), torch.ones(3), r"bool \(3,\)"),
    ],
)
def test_wrong_tensors_are_refused_with_what_is_wrong(queries, codes, allow, message):
    with pytest.raises(DataError, match=message):
        torch_search.topk(queries, codes, 1, allow)
    with pytest.raises(DataError, match=message):
        torch_search.within(queries, codes, 1, allow=allow)


@pytest.mark.parametrize("count", [-1, 1.5, True])
def test_a_k_radius_or_limit_that_is_no_count_is_refused(count):
    codes = tensor(random_codes(0, 2, 1))
    with pytest.raises(UsageError, match="k="):
        torch_search.topk(codes, codes, count)
    with pytest.raises(UsageError, match="radius="):
        torch_search.within(codes, codes, count)
    with pytest.raises(UsageError, match="limit="):
        torch_search.within(codes, codes, 1, count)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_codes_on_a_gpu_are_searched_there_by_the_usual_calls():
    queries, codes = random_codes(11, 3, 8), random_codes(12, 500, 8)
    held = tensor(codes, "cuda")
    near, rows = hamming.topk(queries, held, 9)
    assert near.is_cuda
    assert_same((near, rows), hamming.topk(queries, codes, 9))
    assert_all_same(hamming.within(queries, held, 20, limit=4), hamming.within(queries, codes, 20, limit=4))
    assert hamming.distances(queries, held).is_cuda


@pytest.mark.parametrize(("call", "argument"), [("topk", 3), ("within", 2), ("distances", None)])
def test_the_usual_calls_hand_tensors_on_a_gpu_over(call, argument, monkeypatch):
    class OnGpu:  # stands for a tensor where there is no GPU
        is_cuda = True

    monkeypatch.setattr(torch_search, call, lambda *given: given)
    codes = OnGpu()
    given = getattr(hamming, call)("queries", codes, *([] if argument is None else [argument]))
    assert given[:2] == ("queries", codes)
    assert argument is None or given[2] == argument
