"""Nearest neighbours of each row among all rows: exact, or by inverted lists where that would take hours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from kinbits.errors import UsageError

Read = Callable[[], Iterable[np.ndarray]]
EXACT_ROWS = 200_000  # an exact search beyond takes hours on a CPU
LISTS_READ = 32
PER_LIST = 50
CHUNK = 4096


def nearest(
    read: Read, n: int, count: int, *, exact_rows: int = EXACT_ROWS, lists_read: int = LISTS_READ
) -> tuple[np.ndarray, np.ndarray]:
    """Find each point's nearest points by Euclidean distance.

    Exact up to 200,000 points: O(n^2 d) time, 4nd bytes and the answer. Beyond by inverted lists (IVF, half precision,
    the nearest 32 of 4 sqrt(n) lists are read): O(n^1.5 d) time, 2nd bytes, 800 d sqrt(n) bytes for learning the
    lists, and the answer, of 12 bytes a neighbour.

    Args:
        read: Gives all points in order, in parts ``(c, d)`` of any float type; called once, or twice beyond 200,000.
        n: Number of points.
        count: Neighbours per point, 1 to n; the point itself is always one of them.
        exact_rows: Largest n for the exact search.
        lists_read: Number of lists that an approximate search reads for each point.

    Returns:
        int64 ``(n, count)``, the point itself first, then the others by distance, -1 where the lists held no more; and
        their squared distances, float32 ``(n, count)``.

    Raises:
        UsageError: If ``count`` is not in 1..n.
    """
    if not 0 < count <= n:
        raise UsageError(f"{count} neighbours of {n} points; give 1 to {n}")
    index = _exact(read) if n <= exact_rows else _listed(read, n, lists_read)
    ids, distances = np.empty((n, count), np.int64), np.empty((n, count), np.float32)
    for start in range(0, n, CHUNK):
        own = np.arange(start, min(start + CHUNK, n))
        rows = slice(start, start + len(own))
        distances[rows], ids[rows] = index.search(index.reconstruct_batch(own), count)
        _self_first(ids[rows], distances[rows], own[:, None])
    return ids, distances


def _centred(read: Read) -> Iterator[np.ndarray]:
    """Yield float32 parts; distances are expanded into products, and centring keeps their rounding small."""
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


def _self_first(ids: np.ndarray, distances: np.ndarray, own: np.ndarray) -> None:
    """Move each row's own number to the front; among equal points it may be anywhere, or missing, and the last goes."""
    missing = ~(ids == own).any(1)
    ids[missing, -1], distances[missing, -1] = own[missing, 0], 0
    order = np.argsort(ids != own, axis=1, kind="stable")
    ids[:], distances[:] = np.take_along_axis(ids, order, 1), np.take_along_axis(distances, order, 1)
