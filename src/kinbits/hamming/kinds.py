"""The kinds of packed codes: bits, and product codes, whose parts number words of codebooks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits.errors import UsageError
from kinbits.hamming.checks import Codes, code_width

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


def pack_words(numbers: NDArray[np.uint8], words: int) -> Codes:
    """Return codes, uint8 ``(n, w)``, of the numbers of words, uint8 ``(n, parts)``.

    With 16 words a byte holds two parts, the first in its upper half; an odd last part is followed by zeros.
    """
    if words == 256:
        return numbers
    even = np.pad(numbers, ((0, 0), (0, numbers.shape[1] % 2)))
    return np.asarray(even[:, ::2] << 4 | even[:, 1::2])


def unpack_words(codes: Codes, words: int) -> NDArray[np.uint8]:
    """Return the numbers of words in codes, uint8 ``(n, parts)``; the inverse of `pack_words`, pad parts included."""
    if words == 256:
        return codes
    return np.stack([codes >> 4, codes & 15], axis=2).reshape(len(codes), 2 * codes.shape[1])


def stated_kind(words: int) -> dict[str, int]:
    """Return what files state about a kind of codes: nothing for bits, as before there were product codes."""
    return {} if words == BITS else {"words": words}


def describe_kind(bits: int, words: int = BITS) -> str:
    """Describe the codes of a length and kind, in the plural.

    Example:
        >>> describe_kind(64), describe_kind(64, 16)
        ('64-bit codes', '64-bit product codes (16 parts of 16 words)')
    """
    if words == BITS:
        return f"{bits}-bit codes"
    return f"{bits}-bit product codes ({bits // part_bits(words)} parts of {words} words)"
