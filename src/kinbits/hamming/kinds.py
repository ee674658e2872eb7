"""The kinds of packed codes: bits, and product codes, whose parts number words of codebooks."""

from __future__ import annotations

from typing import Any

from kinbits.errors import UsageError
from kinbits.hamming.checks import code_width

BITS = 2  # words of a part that is one bit
WORDS = (BITS, 16, 256)  # of a part; a byte holds eight, two or one


def check_words(words: Any, bits: int) -> int:
    """Return the number of words of a part of a code: 2 for bits, 16 or 256 for product codes.

    Raises:
        UsageError: If it is none of these, or the parts do not fill ``bits`` bits.
    """
    code_width(bits)
    if isinstance(words, bool) or words not in WORDS:
        raise UsageError(f"words={words!r}: give 2 for bits, or 16 or 256 for product codes")
    each = part_bits(int(words))
    if bits % each:
        raise UsageError(f"bits={bits}: a part of {words} words takes {each} bits; give a multiple of {each}")
    return int(words)


def part_bits(words: int) -> int:
    """Return the number of bits that number the words of a part."""
    return words.bit_length() - 1


def table_shape(bits: int, words: int = BITS) -> tuple[int, int]:
    """Return the numbers of parts and entries of the look-up tables for codes of a length and kind.

    Half bytes of bits, or of parts with 16 words, have 16 entries. Pad bits count as parts.
    """
    width = code_width(bits)
    return (width, 256) if words == 256 else (2 * width, 16)


def describe_kind(bits: int, words: int = BITS) -> str:
    """Describe the codes of a length and kind, in the plural.

    Example:
        >>> describe_kind(64), describe_kind(64, 16)
        ('64-bit codes', '64-bit product codes (16 parts of 16 words)')
    """
    if words == BITS:
        return f"{bits}-bit codes"
    return f"{bits}-bit product codes ({bits // part_bits(words)} parts of {words} words)"
