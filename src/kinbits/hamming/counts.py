"""Items counted by distance and by what they are worth to a query."""

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
    """Count codes by level and distance, where codes of one kind stand together and share their level.

    What a code is worth to a query, its level, is then known for whole runs of codes, e.g. of one class, and no
    array of all pairs is needed.

    Args:
        queries: uint8 ``(q, w)``, packed.
        codes: uint8 ``(n, w)``, packed, in runs of codes of one kind.
        ends: The row behind each run, ascending, the last one n; int64 ``(runs,)``. Runs may be empty.
        levels: The level of each run for each query, uint16 ``(q, runs)``.
        count: How many levels there are; as many as ``levels`` needs if not given.
        threads: How many to use; as many as `kinbits.hamming.threads` says if not given.

    Returns:
        int64 ``(q, levels, 8 w + 1)``: how many codes of a level lie at each distance.

    Raises:
        DataError: if dtype, dimension or width do not fit.

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
        raise DataError(f"runs end at {borders} with levels {worth.shape}; {len(q)} queries, {len(c)} codes")
    simd()  # raises where the kernel could not
    top = int(worth.max(initial=0)) + 1
    if count is not None and count < top:
        raise DataError(f"there are levels up to {top - 1}, but count={count}")
    counts = np.zeros((len(q), count or top, 8 * c.shape[1] + 1), dtype=np.int64)
    _native.tally(q, c, borders, worth, counts, thread_count(threads))
    return counts
