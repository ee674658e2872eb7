"""The kernel in plain NumPy: slow and short. Tests compare the native code with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ONES = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint16)


def distances(queries: NDArray[np.uint8], codes: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return the distance of every query ``(q, w)`` to every code ``(n, w)``, ``(q, n)``."""
    differing: NDArray[np.uint16] = _ONES[queries[:, None, :] ^ codes[None, :, :]]
    counts: NDArray[np.uint16] = differing.sum(axis=2, dtype=np.uint16)
    return counts


def histograms(
    queries: NDArray[np.uint8], codes: NDArray[np.uint8], relevant: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count all items and the relevant items at every distance: two arrays ``(q, 8 w + 1)``."""
    levels = 8 * codes.shape[1] + 1
    total = np.zeros((len(queries), levels), dtype=np.int64)
    hits = np.zeros_like(total)
    for query, row in enumerate(distances(queries, codes)):
        total[query] = np.bincount(row, minlength=levels)
        hits[query] = np.bincount(row[relevant[query]], minlength=levels)
    return total, hits


def tally(
    queries: NDArray[np.uint8], codes: NDArray[np.uint8], levels: NDArray[np.uint16], count: int
) -> NDArray[np.int64]:
    """Count items by level and distance; ``levels`` ``(q, n)`` holds the level of each item for each query."""
    counts = np.zeros((len(queries), count, 8 * codes.shape[1] + 1), dtype=np.int64)
    for query, row in enumerate(distances(queries, codes)):
        np.add.at(counts[query], (levels[query], row), 1)
    return counts


def nearest(
    queries: NDArray[np.uint8],
    codes: NDArray[np.uint8],
    limit: int,
    radius: int,
    allow: NDArray[np.bool_] | None = None,
) -> list[tuple[NDArray[np.int32], NDArray[np.int64]]]:
    """Return distances and rows of the ``limit`` nearest allowed codes within a radius, per query."""
    found = []
    for row in distances(queries, codes):
        kept = np.flatnonzero((row <= radius) & (True if allow is None else allow))
        kept = kept[np.argsort(row[kept], kind="stable")][:limit]
        found.append((row[kept].astype(np.int32), kept))
    return found
