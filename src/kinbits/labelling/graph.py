"""The directed graph of nearest neighbours: its indegrees, its symmetric form, and copies among the rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.csgraph import connected_components

from kinbits._util import neighbours as neighbours_module
from kinbits.errors import DataError, UsageError

BLOCK = 8192
FLOAT32_BYTES = 2 << 30
SAMPLE = 20_000
COLUMNS = 64


def unit_rows(features: np.ndarray, centre: bool, dims: int | None = None) -> np.ndarray:
    """Return rows of length 1, so that Euclidean neighbours are those of the largest cosine.

    Args:
        features: Float ``(n, d)``, possibly memory-mapped.
        centre: Subtract the mean first. In many dimensions, rows near the mean are neighbours of too many others.
        dims: Number of principal directions to keep, computed on up to 20,000 rows; None keeps all.

    Returns:
        float32 ``(n, d)`` or ``(n, dims)``, or float16 where that would take more than 2 GB.

    Raises:
        DataError: If a feature is not finite.
    """
    mean = sum(part.sum(0, dtype=np.float64) for _, part in blocks(features)) / len(features)
    if not np.isfinite(mean).all():
        raise DataError("the features hold values that are not finite; remove those rows")
    shift = mean.astype(np.float32) if centre else np.zeros(features.shape[1], np.float32)
    turn = None if dims is None or dims >= features.shape[1] else _directions(features, shift, dims)
    width = features.shape[1] if turn is None else turn.shape[1]
    dtype = np.float32 if len(features) * width * 4 <= FLOAT32_BYTES else np.float16
    points = np.empty((len(features), width), dtype)
    for start, part in blocks(features):
        part = part.astype(np.float32) - shift
        part = part if turn is None else part @ turn
        points[start : start + BLOCK] = part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12)
    return points


def _directions(features: np.ndarray, shift: np.ndarray, dims: int) -> np.ndarray:
    """Return the eigenvectors of the largest second moments, ``(d, dims)``."""
    n = len(features)
    part = features[np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int64)].astype(np.float32) - shift
    return np.asarray(np.linalg.eigh(part.T @ part)[1][:, -dims:])


def blocks(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first row, rows) block by block."""
    for start in range(0, len(array), BLOCK):
        yield start, np.asarray(array[start : start + BLOCK])


def nearest(points: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest other rows of each row by Euclidean distance; exact up to 200,000 rows.

    Args:
        points: ``(n, d)``.
        count: Neighbours k of each row, below n.

    Returns:
        int64 ``(n, k)``, nearest first, -1 where inverted lists have fewer; and squared distances float32 ``(n, k)``.

    Raises:
        UsageError: If ``count`` is not in 1..n-1.
    """
    if not 0 < count < len(points):
        raise UsageError(f"neighbours is {count}, of {len(points)} different images; give 1 to {len(points) - 1}")
    ids, distances = neighbours_module.nearest(lambda: (part for _, part in blocks(points)), len(points), count + 1)
    return ids[:, 1:], distances[:, 1:]


def indegree(neighbours: np.ndarray) -> np.ndarray:
    """Return the number of rows that have each row as a neighbour: d_j = sum_i 1[j in kNN(i)], int64 ``(n,)``."""
    return np.bincount(neighbours[neighbours >= 0], minlength=len(neighbours))


def symmetric(neighbours: np.ndarray) -> csr_array:
    """Return D^-1/2 (A or A^T or I) D^-1/2 of the directed graph, float32 ``(n, n)``, up to n (2k + 1) entries."""
    n, k = neighbours.shape
    heads, tails = np.repeat(np.arange(n), k), neighbours.ravel()
    kept = tails >= 0  # inverted lists may have fewer than k
    heads, tails, loops = heads[kept], tails[kept], np.arange(n)
    pairs = (np.concatenate([heads, tails, loops]), np.concatenate([tails, heads, loops]))
    joined = csr_array(coo_array((np.ones(len(pairs[0]), np.float32), pairs), shape=(n, n)))
    joined.data[:] = 1
    scale = diags_array(1 / np.sqrt(np.diff(joined.indptr).astype(np.float32)))
    return csr_array(scale @ joined @ scale).astype(np.float32)


def smoothed(adjacency: csr_array, points: np.ndarray) -> np.ndarray:
    """Return the product of both, of the type of ``points``, a few columns at a time to save memory."""
    result = np.empty_like(points)
    for start in range(0, points.shape[1], COLUMNS):
        cut = slice(start, start + COLUMNS)
        result[:, cut] = adjacency @ points[:, cut].astype(np.float32)
    return result


def originals(neighbours: np.ndarray, distances: np.ndarray, cosine: float, first: np.ndarray) -> np.ndarray:
    """Find copies: rows that a chain of neighbours of at least this cosine joins.

    Args:
        neighbours: ``(n, k)`` of unit rows.
        distances: Their squared distances ``(n, k)``.
        cosine: Smallest cosine of copies.
        first: Rows that represent their copies if possible, bool ``(n,)``.

    Returns:
        The row that represents each row, mostly itself, int64 ``(n,)``.
    """
    n = len(neighbours)
    heads, places = np.nonzero((distances <= 2 - 2 * cosine) & (neighbours >= 0))
    edges = coo_array((np.ones(len(heads), bool), (heads, neighbours[heads, places])), shape=(n, n))
    groups = connected_components(csr_array(edges), directed=False)[1]
    order = np.lexsort((np.arange(n), ~first, groups))
    leads = order[np.r_[True, np.diff(groups[order]) > 0]]
    return np.asarray(leads[groups])


class NeighbourGraph:
    """The graph of nearest neighbours that a labeler works on.

    Args:
        points: Unit rows, ``(n, d)``, see `unit_rows`.
        neighbours: Nearest other rows of each row, int64 ``(n, k)``, -1 for none.

    Attributes:
        indegree: Number of rows that have each row as a neighbour, int64 ``(n,)``.
        adjacency: The symmetric graph A, ``(n, n)``, see `symmetric`.
        smooth: A times the points, ``(n, d)``.
    """

    def __init__(self, points: np.ndarray, neighbours: np.ndarray) -> None:
        self.indegree = indegree(neighbours)
        self.adjacency: csr_array = symmetric(neighbours)
        self.smooth = smoothed(self.adjacency, points)

    @classmethod
    def from_features(cls, features: np.ndarray, count: int, *, centre: bool = True, dims: int | None = None) -> Self:
        """Link each row to its ``count`` nearest others by cosine; ``centre`` and ``dims`` are those of `unit_rows`."""
        points = unit_rows(features, centre, dims)
        return cls(points, nearest(points, count)[0])
