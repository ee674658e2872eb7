"""Counts of items by distance and by level of relevance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits.errors import DataError
from kinbits.hamming import _native
from kinbits.hamming.checks import check_pair
from kinbits.hamming.codes import simd
from kinbits.hamming.search import thread_count


def tally(
    queries: ArrayLike,
    codes: ArrayLike,
    ends: NDArray[np.int64],
    levels: NDArray[np.uint16],
    *,
    count: int | None = None,
    threads: int | None = None,
) -> NDArray[np.int64]:
    """Count codes by level of relevance and by distance, for codes that are sorted into runs.

    All codes of a run, e.g. of one class, have the same level for a query. So no array of all pairs is needed.

    Args:
        queries: uint8 ``(q, w)``, packed.
        codes: uint8 ``(n, w)``, packed, sorted into runs.
        ends: End of each run, exclusive and ascending, int64 ``(runs,)``; the last one is n. Runs may be empty.
        levels: The level of each run for each query, uint16 ``(q, runs)``.
        count: Number of levels; by default the largest in ``levels`` plus one.
        threads: Number of threads; by default `kinbits.hamming.threads`.

    Returns:
        Number of codes of each level at each distance, int64 ``(q, levels, 8 w + 1)``.

    Raises:
        DataError: If dtype, dimension or width do not fit.

    Example:
        >>> import numpy as np
        >>> from kinbits.hamming import tally
        >>> codes = np.array([[0], [1], [3]], np.uint8)
        >>> tally(codes[:1], codes, np.array([2, 3]), np.array([[1, 0]], np.uint16))[0, :, :3]
        array([[0, 0, 1],
               [1, 1, 0]])
    """
    q, c = check_pair(queries, codes)
    borders, worth = np.ascontiguousarray(ends, np.int64), np.ascontiguousarray(levels, np.uint16)
    fits = borders.ndim == 1 and worth.shape == (len(q), len(borders)) and np.all(np.diff(borders, prepend=0) >= 0)
    if not fits or int(borders.max(initial=0)) != len(c):
        raise DataError(
            f"ends are {borders} and levels have the shape {worth.shape}; give ascending ends, the last one {len(c)}, "
            f"and levels of shape ({len(q)}, {len(borders)})"
        )
    simd()  # raises a readable error if KINBITS_SIMD is wrong
    top = int(worth.max(initial=0)) + 1
    if count is not None and count < top:
        raise DataError(f"levels go up to {top - 1}; count={count} must be larger")
    counts = np.zeros((len(q), count or top, 8 * c.shape[1] + 1), dtype=np.int64)
    _native.tally(q, c, borders, worth, counts, thread_count(threads))
    return counts
