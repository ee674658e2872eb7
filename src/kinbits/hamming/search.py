"""Exact search over an array of packed codes: the k nearest, or all within a radius."""

from __future__ import annotations

import os
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits._util import processors
from kinbits.errors import DataError, UsageError
from kinbits.hamming import _native
from kinbits.hamming.checks import Codes, check_count, check_pair
from kinbits.hamming.codes import on_gpu, simd

Distances = NDArray[np.int32]
Rows = NDArray[np.int64]
Found = tuple[Distances, Rows]
Allow = NDArray[np.bool_] | NDArray[np.uint8]

UNLIMITED = 2**62
N = TypeVar("N", np.int32, np.float32)
_MOST_THREADS = 256


def topk(
    queries: ArrayLike, codes: ArrayLike, k: int, *, allow: Allow | None = None, threads: int | None = None
) -> tuple[Distances, Rows]:
    """Find the k nearest codes of each query, ordered by distance, then by row.

    Args:
        queries: uint8 ``(q, w)``, packed.
        codes: uint8 ``(n, w)``, packed. Memory-mapped arrays are read in place. A torch tensor on a
            CUDA device is searched on that device; the results are then tensors.
        k: Number of codes per query; if fewer are allowed, all of them.
        allow: Rows that may be found: bool ``(n,)``, or the same packed by ``numpy.packbits(...,
            bitorder="little")`` into uint8 ``(ceil(n / 8),)``. None allows all.
        threads: Number of threads; by default `threads`. Results do not depend on it.

    Returns:
        Distances int32 ``(q, k')`` and rows int64 ``(q, k')``, ``k' = min(k, allowed rows)``.

    Raises:
        UsageError: If ``k`` is negative or no integer.
        DataError: If dtype, dimension or width do not fit.

    Example:
        >>> import numpy as np
        >>> from kinbits.hamming import topk
        >>> distances, rows = topk(np.array([[0]], np.uint8), np.array([[3], [1], [2], [0]], np.uint8), k=3)
        >>> distances.tolist(), rows.tolist()
        ([[0, 1, 1]], [[3, 1, 2]])
    """
    if gpu := on_gpu(codes):
        found_there: tuple[Distances, Rows] = gpu.topk(queries, codes, k, allow)
        return found_there
    limit = check_count(k, "k")
    q, c = check_pair(queries, codes)
    _, near, rows = _search(q, c, limit, 8 * c.shape[1], allow, threads)
    found = len(rows) // len(q) if len(q) else min(limit, allowed_rows(allow, len(c)))  # the same number for each
    return near.reshape(len(q), found), rows.reshape(len(q), found)


def within(
    queries: ArrayLike,
    codes: ArrayLike,
    radius: int,
    *,
    limit: int | None = None,
    allow: Allow | None = None,
    threads: int | None = None,
) -> list[tuple[Distances, Rows]]:
    """Find all codes within a Hamming radius of each query, ordered by distance, then by row.

    Args:
        queries: uint8 ``(q, w)``, packed.
        codes: uint8 ``(n, w)``, packed; see `topk`.
        radius: Maximum distance in bits; 0 finds equal codes.
        limit: Maximum number of codes per query, nearest first; None for all.
        allow: Rows that may be found; see `topk`.
        threads: Number of threads; see `topk`.

    Returns:
        One pair per query: distances int32 and rows int64, of the same length.

    Raises:
        UsageError: If ``radius`` or ``limit`` is negative or no integer.
        DataError: If dtype, dimension or width do not fit.
    """
    if gpu := on_gpu(codes):
        found: list[tuple[Distances, Rows]] = gpu.within(queries, codes, radius, limit, allow)
        return found
    limited_radius = check_count(radius, "radius")
    most = UNLIMITED if limit is None else check_count(limit, "limit")
    q, c = check_pair(queries, codes)
    return by_query(*_search(q, c, most, min(limited_radius, 8 * c.shape[1]), allow, threads))


def by_query(counts: NDArray[np.int64], near: NDArray[N], rows: Rows) -> list[tuple[NDArray[N], Rows]]:
    """Split the concatenated hits of all queries: one pair of distances and rows for each."""
    ends = np.cumsum(counts)[:-1]
    return list(zip(np.split(near, ends), np.split(rows, ends), strict=True)) if len(counts) else []


def threads() -> int:
    """Return the number of threads of a search: KINBITS_THREADS, or the processors that this process may use.

    Raises:
        UsageError: If KINBITS_THREADS is not a positive integer.
    """
    given = os.environ.get("KINBITS_THREADS")
    if not given:
        return processors()
    if not given.isdecimal() or int(given) < 1:
        raise UsageError(f"KINBITS_THREADS={given}: give a whole number, 1 or more")
    return int(given)


def check_allow(allow: Any, rows: int) -> NDArray[np.uint8] | None:
    """Return a filter as the bitmap that the kernel reads: bit ``i % 8`` of byte ``i // 8`` is row i.

    Raises:
        DataError: If it is neither bool ``(n,)`` nor uint8 ``(ceil(n / 8),)``.
    """
    if allow is None:
        return None
    given: NDArray[Any] = np.asarray(allow)
    if given.dtype == np.bool_ and given.shape == (rows,):
        return np.packbits(given, bitorder="little")
    if given.dtype == np.uint8 and given.shape == ((rows + 7) // 8,):
        return np.ascontiguousarray(given)
    raise DataError(
        f"allow is {given.dtype} {given.shape}; it must be bool ({rows},), "
        f"or uint8 ({(rows + 7) // 8},) packed with bitorder='little'"
    )


def allowed_rows(allow: Allow | None, rows: int) -> int:
    """Return the number of allowed rows."""
    bitmap = check_allow(allow, rows)
    return rows if bitmap is None else int(np.unpackbits(bitmap, count=rows, bitorder="little").sum())


def thread_count(given: int | None) -> int:
    """Return the number of threads to use.

    Raises:
        UsageError: If it is not a positive integer.
    """
    if given is None:
        return threads()
    if check_count(given, "threads") < 1:
        raise UsageError("threads=0: give a whole number, 1 or more, or None for all processors")
    return min(int(given), _MOST_THREADS)


def _search(
    queries: Codes, codes: Codes, limit: int, radius: int, allow: Allow | None, count: int | None
) -> tuple[NDArray[np.int64], Distances, Rows]:
    """Return the number of hits per query, and the concatenated distances and rows of all queries."""
    simd()  # raises a readable error if KINBITS_SIMD is wrong
    bitmap = check_allow(allow, len(codes))
    return _native.search(queries, codes, min(limit, UNLIMITED), radius, bitmap, thread_count(count))
