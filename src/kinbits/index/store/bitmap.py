"""Sets of rows as packed bits: row r is bit ``r % 8``, least significant first, of byte ``r // 8``. Pad bits are 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bitmap = NDArray[np.uint8]
Rows = NDArray[np.int64]

_BLOCK = 1 << 20  # bytes to unpack at a time


def width(rows: int) -> int:
    """Return the size in bytes of a bitmap of ``rows`` rows."""
    return (rows + 7) // 8


def full(rows: int) -> Bitmap:
    """Return the set of all rows."""
    bitmap = np.full(width(rows), 255, dtype=np.uint8)
    if rows % 8:
        bitmap[-1] = (1 << rows % 8) - 1
    return bitmap


def pack(members: NDArray[np.bool_]) -> Bitmap:
    """Pack bool ``(n,)``."""
    return np.packbits(members, bitorder="little")


def unpack(bitmap: Bitmap, start: int, stop: int) -> NDArray[np.bool_]:
    """Return whether each row from ``start`` to ``stop - 1`` is a member, bool ``(stop - start,)``."""
    bits = np.unpackbits(bitmap[start // 8 : width(stop)], bitorder="little")
    return bits[start % 8 : start % 8 + stop - start].view(np.bool_)


def contains(bitmap: Bitmap, rows: Rows) -> NDArray[np.bool_]:
    """Return whether each row is a member."""
    members: NDArray[np.uint8] = bitmap[rows >> 3] >> (rows & 7).astype(np.uint8) & 1
    return members.astype(np.bool_)


def without(bitmap: Bitmap, rows: Rows) -> Bitmap:
    """Return a copy without some rows."""
    left = np.array(bitmap)
    np.bitwise_and.at(left, rows >> 3, ~(np.uint8(1) << (rows & 7).astype(np.uint8)))
    return left


def count(bitmap: Bitmap) -> int:
    """Return the number of members."""
    blocks = (bitmap[start : start + _BLOCK] for start in range(0, len(bitmap), _BLOCK))
    return sum(int(np.unpackbits(block).sum(dtype=np.int64)) for block in blocks)
