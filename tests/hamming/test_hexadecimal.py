"""Codes as hexadecimal text: every code survives, and whatever is no code is refused by its row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kinbits import DataError, UsageError
from kinbits.hamming import from_hex, pack, to_hex, unpack

CODES = st.tuples(st.integers(1, 6), st.integers(1, 9)).flatmap(lambda shape: arrays(np.uint8, shape))


@given(CODES)
def test_codes_survive(codes):
    texts = to_hex(codes)
    assert [bytes.fromhex(text) for text in texts] == [row.tobytes() for row in codes]
    for given_back in (from_hex(texts), from_hex([text.upper() for text in texts], 8 * codes.shape[1])):
        assert given_back.dtype == np.uint8
        np.testing.assert_array_equal(given_back, codes)


def test_the_first_bit_is_in_the_first_digit():
    assert to_hex(pack(np.array([[True] + [False] * 11]))) == ["8000"]


def test_what_is_read_can_be_changed():
    codes = from_hex(["00"])
    codes[0, 0] = 1
    assert codes.tolist() == [[1]]


def test_no_texts_are_no_codes():
    assert from_hex([]).shape == (0, 0)
    assert from_hex([], 60).shape == (0, 8)


@pytest.mark.parametrize(
    ("texts", "bits", "told"),
    [
        (["00", "0g"], None, "row 1 is '0g', not a code; give an even number of hexadecimal digits"),
        (["000"], None, "row 0 is '000', not a code"),
        (["00 11"], None, "row 0 is '00 11'"),
        (["0x00"], None, "row 0 is '0x00'"),
        (["٠٠"], None, "row 0 is"),  # digits of another script
        (["00\n"], None, "row 0 is"),
        ([""], None, "row 0 is ''"),
        ([b"00"], None, "row 0 is b'00'"),
        (["00", None], None, "row 1 is None"),
        (["00", "0000"], None, "row 1 has 4 hexadecimal digits; the first has 2"),
        (["0000"], 8, "row 0 has 4 hexadecimal digits; 8-bit codes have 2"),
        (["f0", "f1"], 4, "row 1 has more than 4 bits: the last 4 bits of a code must be 0"),
        ("00ff", None, r"takes a list of texts, not str; give \[text\]"),
    ],
)
def test_what_is_no_code_is_refused_by_its_row(texts, bits, told):
    with pytest.raises(DataError, match=told) as caught:
        from_hex(texts, bits)
    assert "\n" not in str(caught.value)


def test_codes_of_bits_that_fill_no_byte_are_read():
    assert unpack(from_hex(["f0"], 4), 4).all()


def test_lengths_and_arrays_are_checked():
    with pytest.raises(UsageError, match="bits=0"):
        from_hex(["00"], 0)
    with pytest.raises(DataError, match="packed codes are uint8"):
        to_hex(np.zeros((2, 2)))
