"""The kinds of packed codes: bits, product codes, whose parts number words of codebooks, and scaled codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits.errors import DataError, UsageError
from kinbits.hamming.checks import Codes, code_width

BITS = 2  # words of a part that is one bit
WORDS = (BITS, 16, 256)  # of a part; a byte holds eight, two or one
SCALED = 0  # no words: the bits of whole numbers, and three float32 that scale them: see `table_topk`
FACTOR_BYTES = 12


def check_words(words: Any, bits: int) -> int:
    """Return the number of words of a part of a code: 2 for bits, 16 or 256 for product codes, 0 for scaled codes.

    Raises:
        UsageError: If it is none of these, or the parts do not fill ``bits`` bits.
    """
    code_width(bits)
    if isinstance(words, bool) or words not in (*WORDS, SCALED):
        raise UsageError(f"words={words!r}: give 2 for bits, 16 or 256 for product codes, or 0 for scaled codes")
    if words == SCALED:
        if bits <= 8 * FACTOR_BYTES or bits % 8:
            raise UsageError(f"bits={bits}: scaled codes take a multiple of 8 above the {8 * FACTOR_BYTES} of factors")
        return SCALED
    each = part_bits(int(words))
    if bits % each:
        raise UsageError(f"bits={bits}: a part of {words} words takes {each} bits; give a multiple of {each}")
    return int(words)


def part_bits(words: int) -> int:
    """Return the number of bits that number the words of a part."""
    return words.bit_length() - 1


def part_count(bits: int, words: int) -> int:
    """Return the number of whole parts in a product code."""
    return bits // part_bits(words)


def table_shape(bits: int, words: int = BITS) -> tuple[int, int]:
    """Return the numbers of parts and entries of the look-up tables for codes of a length and kind.

    Half bytes of bits, or of parts with 16 words, have 16 entries. Pad bits count as parts. With scaled codes, one
    more part holds the numbers of the query.
    """
    width = code_width(bits)
    if words == SCALED:
        return 2 * (width - FACTOR_BYTES) + 1, 16
    return (width, 256) if words == 256 else (2 * width, 16)


def pack_words(numbers: NDArray[np.uint8], words: int) -> Codes:
    """Return codes, uint8 ``(n, w)``, of the numbers of words, uint8 ``(n, parts)``.

    With 16 words a byte holds two parts, the first in its upper half; an odd last part is followed by zeros.
    """
    if words == 256:
        return numbers
    even = np.pad(numbers, ((0, 0), (0, numbers.shape[1] % 2)))
    return np.asarray(even[:, ::2] << 4 | even[:, 1::2])


def unpack_words(codes: Codes, words: int) -> NDArray[np.uint8]:
    """Return the numbers of words in codes, uint8 ``(n, parts)``; the inverse of `pack_words`, pad parts included.

    Of scaled codes, these are the half bytes before the factors.
    """
    if words == 256:
        return codes
    if words == SCALED:
        codes = codes[:, :-FACTOR_BYTES]
    return np.stack([codes >> 4, codes & 15], axis=2).reshape(len(codes), 2 * codes.shape[1])


def join_factors(digits: Codes, factors: NDArray[np.float32]) -> Codes:
    """Return scaled codes, uint8 ``(n, w + 12)``, of packed bits ``(n, w)`` and scale, offset and error ``(n, 3)``."""
    return np.hstack([digits, np.ascontiguousarray(factors, "<f4").view(np.uint8)])


def factors_of(codes: Codes) -> NDArray[np.float32]:
    """Return scale, offset and error of scaled codes, float32 ``(n, 3)``."""
    factors: NDArray[np.float32] = np.ascontiguousarray(codes[:, -FACTOR_BYTES:]).view("<f4").astype(np.float32)
    return factors


def require_factors(codes: Codes, name: str = "codes") -> None:
    """Refuse scaled codes whose factors cannot be: not finite, or a negative scale or error.

    Raises:
        DataError: If there are any.
    """
    factors = factors_of(codes)
    bad = np.flatnonzero(~np.isfinite(factors).all(1) | (factors[:, 0] < 0) | (factors[:, 2] < 0))
    if bad.size:
        raise DataError(f"row {bad[0]} of the {name} has no factors of scaled codes; are they of another kind?")


def stated_kind(words: int) -> dict[str, int]:
    """Return what files state about a kind of codes: nothing for bits, as before there were product codes."""
    return {} if words == BITS else {"words": words}


def kind_name(words: int) -> str:
    """Return what codes of a kind are called: "bits", "product codes" or "scaled codes"."""
    return {BITS: "bits", SCALED: "scaled codes"}.get(words, "product codes")


def parts_text(words: int) -> str:
    """Return what a short description adds to a number of bits: nothing for bits.

    Example:
        >>> "64 bits" + parts_text(16)
        '64 bits in parts of 16 words'
    """
    return {BITS: "", SCALED: " of scaled codes"}.get(words, f" in parts of {words} words")


def describe_kind(bits: int, words: int = BITS) -> str:
    """Describe the codes of a length and kind, in the plural.

    Example:
        >>> describe_kind(64), describe_kind(64, 16)
        ('64-bit codes', '64-bit product codes (16 parts of 16 words)')
    """
    if words == BITS:
        return f"{bits}-bit codes"
    if words == SCALED:
        return f"{bits}-bit scaled codes ({bits - 8 * FACTOR_BYTES} bits and three factors)"
    return f"{bits}-bit product codes ({part_count(bits, words)} parts of {words} words)"
