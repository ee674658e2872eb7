"""Checks of the arguments of a search: codes, their width, counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits.errors import DataError, UsageError

Codes = NDArray[np.uint8]

MAX_WIDTH = 8191  # distances are 16 bits wide: 8 * 8191 is the last multiple of eight that fits


def code_width(bits: int) -> int:
    """Return the size in bytes of a code of ``bits`` bits.

    Raises:
        UsageError: If ``bits`` is not an integer from 1 to 65,528.
    """
    is_integer = isinstance(bits, (int, np.integer)) and not isinstance(bits, bool)
    if not is_integer or not 1 <= bits <= 8 * MAX_WIDTH:
        raise UsageError(f"bits={bits!r}: give a whole number from 1 to {8 * MAX_WIDTH}")
    return (int(bits) + 7) // 8


def check_codes(codes: ArrayLike, *, width: int | None = None, name: str = "codes") -> Codes:
    """Return ``codes`` as C-contiguous uint8 ``(n, width)``, copied only if necessary.

    Raises:
        DataError: If dtype, dimension or width do not fit.
    """
    array = np.asarray(codes)
    if array.dtype != np.uint8:
        raise DataError(f"{name} are {array.dtype}; packed codes are uint8, see kinbits.hamming.pack")
    if array.ndim != 2:
        raise DataError(f"{name} have the shape {array.shape}; give (n, bytes), one row per code")
    if not 1 <= array.shape[1] <= MAX_WIDTH:
        raise DataError(f"{name} are {array.shape[1]} bytes wide; allowed are 1 to {MAX_WIDTH}")
    if width is not None and array.shape[1] != width:
        raise DataError(f"{name} are {array.shape[1]} bytes wide, but {width} are needed")
    return np.ascontiguousarray(array)


def check_pair(queries: ArrayLike, codes: ArrayLike) -> tuple[Codes, Codes]:
    """Check queries and codes, which must have the same width."""
    checked = check_codes(codes)
    return check_codes(queries, width=checked.shape[1], name="queries"), checked


def check_number(value: float, name: str) -> float:
    """Return a real number as float; one beyond float becomes infinite.

    Raises:
        UsageError: If it is no number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or value != value:
        raise UsageError(f"{name}={value!r}: give a number")
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def check_count(value: int, name: str) -> int:
    """Return a count or radius as int.

    Raises:
        UsageError: If it is negative or no integer.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise UsageError(f"{name}={value!r}: give a whole number, 0 or more")
    return int(value)
