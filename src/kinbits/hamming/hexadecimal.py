"""Packed codes as hexadecimal text, two digits a byte."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from kinbits._util import shortened
from kinbits.errors import DataError
from kinbits.hamming.checks import Codes, check_codes, code_width

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+", re.ASCII)


def to_hex(codes: ArrayLike) -> list[str]:
    """Return each code as text: two digits 0-9a-f a byte, the first bit of a code in its first digit.

    This is how ImageHash and PDQ write their hashes.

    Args:
        codes: uint8 ``(n, w)``, packed.

    Raises:
        DataError: If the codes are not packed codes.

    Example:
        >>> import numpy as np
        >>> to_hex(np.array([[0, 255], [16, 1]], np.uint8))
        ['00ff', '1001']
    """
    return [row.tobytes().hex() for row in check_codes(codes)]


def from_hex(strings: Iterable[str], bits: int | None = None) -> Codes:
    """Read codes from text, two digits 0-9a-fA-F a byte; the inverse of `to_hex`.

    Args:
        strings: n texts of one length, without blanks or a prefix.
        bits: Code length, which the texts must have; None for 4 bits a digit.

    Returns:
        uint8 ``(n, w)``, packed; ``(0, ceil(bits / 8))`` of no texts, and w is 0 without ``bits``.

    Raises:
        DataError: If a text is no code, or has another length; the message names its row, counted from 0.

    Example:
        >>> from_hex(["00ff", "1001"])
        array([[  0, 255],
               [ 16,   1]], dtype=uint8)
    """
    if isinstance(strings, (str, bytes)):
        raise DataError(f"from_hex() takes a list of texts, not {type(strings).__name__}; give [text] for one code")
    texts = list(strings)
    for row, text in enumerate(texts):
        if not isinstance(text, str) or not _HEX.fullmatch(text):
            raise DataError(
                f"row {row} is {_shown(text)}, not a code; give an even number of hexadecimal digits 0-9a-f"
            )
    digits = len(texts[0]) if bits is None and texts else 2 * code_width(bits) if bits is not None else 0
    other = next((row for row, text in enumerate(texts) if len(text) != digits), None)
    if other is not None:
        wanted = f"{bits}-bit codes have" if bits is not None else "the first has"
        raise DataError(f"row {other} has {len(texts[other])} hexadecimal digits; {wanted} {digits}")
    codes = np.frombuffer(bytes.fromhex("".join(texts)), np.uint8).reshape(len(texts), digits // 2).copy()
    if bits is not None:
        _require_no_pad_bits(codes, bits)
    return codes


def _require_no_pad_bits(codes: Codes, bits: int) -> None:
    pad = 8 * codes.shape[1] - bits
    wrong = np.flatnonzero(codes[:, -1] & ((1 << pad) - 1))
    if wrong.size:
        raise DataError(f"row {wrong[0]} has more than {bits} bits: the last {pad} bits of a code must be 0")


def _shown(given: object) -> str:
    return shortened(repr(given), 80)
