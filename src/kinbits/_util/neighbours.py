"""Nearest neighbours of each row among all rows: exact for small data, approximate with inverted lists for large."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from kinbits.errors import UsageError

Read = Callable[[], Iterable[np.ndarray]]
EXACT_ROWS = 200_000  # an exact search of more rows takes hours on a CPU
LISTS_READ = 32
PER_LIST = 50
CHUNK = 4096


def nearest(
    read: Read, n: int, count: int, *, exact_rows: int = EXACT_ROWS, lists_read: int = LISTS_READ
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest neighbours of each point by Euclidean distance.

    Up to 200,000 points, the search is exact: O(n^2 d) time and 4nd bytes. For more points, it uses inverted lists
    (IVF, half precision) and reads the nearest 32 of 4 sqrt(n) lists: O(n^1.5 d) time, 2nd bytes, and 800 d sqrt(n)
    bytes to train the lists. The result takes 12 bytes per neighbour.

    Args:
        read: Function that yields all points in order, in parts ``(c, d)`` of any float type. It is called once for
            the exact search and twice for the approximate one.
        n: Number of points.
        count: Neighbours per point, 1 to n; the point itself is always one of them.
        exact_rows: Largest n for the exact search.
        lists_read: Number of lists that an approximate search reads for each point.

    Returns:
        Rows of the neighbours, int64 ``(n, count)``: the point itself, then the others by distance, -1 if the lists
        hold fewer; and their squared distances, float32 ``(n, count)``.

    Raises:
        UsageError: If ``count`` is not in 1..n.
    """
    if not 0 < count <= n:
        raise UsageError(f"{count} neighbours of {n} points; give 1 to {n}")
    index = _exact(read) if n <= exact_rows else _listed(read, n, lists_read)
    ids, distances = np.empty((n, count), np.int64), np.empty((n, count), np.float32)
    for start in range(0, n, CHUNK):
        numbers = np.arange(start, min(start + CHUNK, n))
        rows = slice(start, start + len(numbers))
        distances[rows], ids[rows] = index.search(index.reconstruct_batch(numbers), count)
        _self_first(ids[rows], distances[rows], numbers[:, None])
    return ids, distances


def _centred(read: Read) -> Iterator[np.ndarray]:
    """Yield float32 parts minus the mean of the first part; centred points have smaller rounding errors in faiss."""
    centre = None
    for part in read():
        part = np.asarray(part, np.float32)
        centre = part.mean(0) if centre is None else centre
        yield part - centre


def _exact(read: Read) -> Any:
    import faiss

    index: Any = None
    for part in _centred(read):
        index = faiss.IndexFlatL2(part.shape[1]) if index is None else index
        index.add(part)
    return index


def _listed(read: Read, n: int, lists_read: int) -> Any:
    import faiss

    lists = int(4 * n**0.5)
    wanted = np.linspace(0, n - 1, PER_LIST * lists).astype(np.int64)
    sample, start = [], 0
    for part in _centred(read):
        inside = wanted[(wanted >= start) & (wanted < start + len(part))]
        sample.append(part[inside - start])
        start += len(part)
    points = np.concatenate(sample)
    index: Any = faiss.index_factory(points.shape[1], f"IVF{lists},SQfp16")
    index.cp.niter, index.nprobe = 10, lists_read
    index.train(points)
    del sample, points
    for part in _centred(read):
        index.add(part)
    index.make_direct_map()
    return index


def _self_first(ids: np.ndarray, distances: np.ndarray, numbers: np.ndarray) -> None:
    """Move the point itself to the front of its neighbours; with many equal points it may be absent and is added."""
    missing = ~(ids == numbers).any(1)
    ids[missing, -1], distances[missing, -1] = numbers[missing, 0], 0
    order = np.argsort(ids != numbers, axis=1, kind="stable")
    ids[:], distances[:] = np.take_along_axis(ids, order, 1), np.take_along_axis(distances, order, 1)
