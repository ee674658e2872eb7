"""Packing keeps every bit, and wrong input is named before it does harm."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kinbits import hamming
from kinbits.errors import DataError, UsageError


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.bool_, st.tuples(st.integers(0, 9), st.integers(1, 70))))
def test_unpack_undoes_pack_and_pad_bits_are_zero(bits):
    codes = hamming.pack(bits)
    assert codes.shape == (len(bits), hamming.code_width(bits.shape[1]))
    np.testing.assert_array_equal(hamming.unpack(codes, bits.shape[1]), bits)
    assert not np.unpackbits(codes, axis=1)[:, bits.shape[1] :].any()


def test_layout_is_that_of_packbits_and_a_logit_of_zero_is_a_one():
    assert hamming.pack(np.array([[True, False, True]])).tolist() == [[0b1010_0000]]
    assert hamming.pack(np.array([[0.0, -0.5, 2.0]])).tolist() == [[0b1010_0000]]


@pytest.mark.parametrize("bits", [0, -8, 65529, 2.5, True, "64", None])
def test_impossible_lengths_are_refused(bits):
    with pytest.raises(UsageError, match="whole number from 1"):
        hamming.code_width(bits)


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        (np.zeros(8, bool), r"\(n, bits\)"),
        (np.array([[0, 1]]), "bool bits or float logits"),
        (np.array([[np.nan, 1.0]]), "NaN"),
    ],
)
def test_pack_refuses_what_it_could_misread(bits, message):
    with pytest.raises(DataError, match=message):
        hamming.pack(bits)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((2, 3), np.int64), "int64; packed codes are uint8"),
        (np.zeros(3, np.uint8), "one row per code"),
        (np.zeros((2, 0), np.uint8), "0 bytes wide"),
        (np.zeros((2, 4), np.uint8), "4 bytes wide, but 3 are needed"),
    ],
)
def test_wrong_codes_are_refused_with_what_is_wrong(codes, message):
    with pytest.raises(DataError, match=message):
        hamming.distances(codes, np.zeros((1, 3), np.uint8))


def test_relevance_of_another_shape_is_refused():
    codes = np.zeros((2, 1), np.uint8)
    with pytest.raises(DataError, match=r"bool \(2, 2\)"):
        hamming.histograms(codes, codes, np.zeros((2, 3), bool))
