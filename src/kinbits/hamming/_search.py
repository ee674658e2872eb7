"""Exact search over an array of packed codes: the k nearest, or all within a radius."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits._errors import DataError, UsageError
from kinbits.hamming._codes import Codes, check_pair, distances

Found = tuple[NDArray[np.int32], NDArray[np.int64]]

_BLOCK_DISTANCES = 1 << 24  # distances held at one time (2 bytes each)


def topk(
    queries: ArrayLike, codes: ArrayLike, k: int, *, allow: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Find the k nearest codes of each query, ordered by distance, then by row.

    Args:
        queries: uint8 ``(q, w)``, packed.
        codes: uint8 ``(n, w)``, packed.
        k: How many; where fewer codes are allowed, all of these are returned.
        allow: bool ``(n,)``: only rows that are True can be found. None allows all.

    Returns:
        Distances int32 ``(q, k')`` and rows int64 ``(q, k')``, ``k' = min(k, allowed rows)``.

    Raises:
        UsageError: if ``k`` is negative or no integer.
        DataError: if dtype, dimension or width do not fit.

    Example:
        >>> import numpy as np
        >>> from kinbits.hamming import topk
        >>> topk(np.array([[0]], np.uint8), np.array([[3], [1], [2], [0]], np.uint8), k=3)
        (array([[0, 1, 1]], dtype=int32), array([[3, 1, 2]]))
    """
    limit = whole_number(k, "k")
    q, c, rows = _prepare(queries, codes, allow)
    limit = min(limit, len(c))
    near = np.empty((len(q), limit), dtype=np.int32)
    at = np.empty((len(q), limit), dtype=np.int64)
    if limit:
        for query, row in _scan(q, c):
            near[query], at[query] = _nearest(row, limit)
    return near, at if rows is None else rows[at]


def within(
    queries: ArrayLike, codes: ArrayLike, radius: int, *, allow: NDArray[np.bool_] | None = None
) -> list[tuple[NDArray[np.int32], NDArray[np.int64]]]:
    """Find all codes within a Hamming radius of each query, ordered by distance, then by row.

    Args:
        queries: uint8 ``(q, w)``, packed.
        codes: uint8 ``(n, w)``, packed.
        radius: Largest distance that counts, in bits; 0 finds equal codes.
        allow: bool ``(n,)``: only rows that are True can be found. None allows all.

    Returns:
        One pair per query: distances int32 and rows int64, of the same length.

    Raises:
        UsageError: if ``radius`` is negative or no integer.
        DataError: if dtype, dimension or width do not fit.
    """
    limit = whole_number(radius, "radius")
    q, c, rows = _prepare(queries, codes, allow)
    found = []
    for _, row in _scan(q, c):
        near, at = _ordered(row, np.flatnonzero(row <= limit))
        found.append((near, at if rows is None else rows[at]))
    return found


def whole_number(value: int, name: str) -> int:
    """Return a count or radius as int.

    Raises:
        UsageError: if it is negative or no integer.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise UsageError(f"{name}={value!r}: give a whole number, 0 or more")
    return int(value)


def _prepare(
    queries: ArrayLike, codes: ArrayLike, allow: NDArray[np.bool_] | None
) -> tuple[Codes, Codes, NDArray[np.int64] | None]:
    """Check the arguments; reduce the codes to the allowed rows, and say which these are."""
    q, c = check_pair(queries, codes)
    if allow is None:
        return q, c, None
    if allow.dtype != np.bool_ or allow.shape != (len(c),):
        raise DataError(f"allow is {allow.dtype} {allow.shape}; it must be bool ({len(c)},)")
    rows = np.flatnonzero(allow)
    return q, c[rows], rows


def _scan(queries: Codes, codes: Codes) -> Iterator[tuple[int, NDArray[np.uint16]]]:
    """Yield each query's distances, computed for some queries at a time to bound the memory."""
    step = max(1, _BLOCK_DISTANCES // max(1, len(codes)))
    for start in range(0, len(queries), step):
        block = distances(queries[start : start + step], codes)
        yield from enumerate(block, start)


def _nearest(row: NDArray[np.uint16], k: int) -> Found:
    """Select by counting: no more rows are sorted than lie within the k-th distance."""
    reach = int(np.searchsorted(np.cumsum(np.bincount(row)), k))
    near, at = _ordered(row, np.flatnonzero(row <= reach))
    return near[:k], at[:k]


def _ordered(row: NDArray[np.uint16], at: NDArray[np.int64]) -> Found:
    order = np.argsort(row[at], kind="stable")  # rows ascend already: stable keeps them so in a tie
    at = at[order]
    return row[at].astype(np.int32), at
