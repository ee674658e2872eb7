"""Graphs of the training rows: nearest neighbours, and sparse sets of similar pairs. No dense n x n array."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from kinbits._util import Modality, neighbours
from kinbits.errors import DataError
from kinbits.methods.base import TrainView


def nearest_rows(train: TrainView, count: int, modality: Modality = "image") -> np.ndarray:
    """Find each row's nearest rows by Euclidean distance; see `nearest_points` for the cost.

    Args:
        train: The training set.
        count: Neighbours per row, 1 to n; the row itself is always one of them.
        modality: Whose features are compared.

    Returns:
        int64 ``(n, count)``, the row itself first.

    Raises:
        DataError: If there are fewer rows than neighbours, or a feature is not finite.
    """
    return nearest_points(lambda: train.chunks(modality), len(train), count, f"{modality} features")


def nearest_points(
    points: Callable[[], Iterable[Tensor]], n: int, count: int, what: str = "features", **limits: int
) -> np.ndarray:
    """Find each point's nearest points by Euclidean distance.

    Exact up to 200,000 points, O(n^2 d) time and 4nd bytes; beyond by inverted lists, O(n^1.5 d) time and 2nd bytes.
    The answer takes 12 n count bytes while it is made.

    Args:
        points: Function that yields n points in order, in parts, float ``(c, d)`` each. It is called once, or twice
            beyond 200,000 points.
        n: Number of points.
        count: Neighbours per point, 1 to n; the point itself is always one of them.
        what: Name of the points in error messages.
        limits: ``exact_rows`` and ``lists_read`` of the search, see `kinbits._util.neighbours`.

    Returns:
        int64 ``(n, count)``, the point itself first, and again where inverted lists have no other point.

    Raises:
        DataError: If there are fewer points than neighbours, or a value is not finite.
    """
    if n < count:
        raise DataError(f"{count} neighbours of {n} training rows; ask for fewer, or give more rows")

    def read() -> Iterator[np.ndarray]:
        for part in points():
            if not torch.isfinite(part).all():
                raise DataError(f"the {what} hold values that are not finite; remove those rows")
            yield part.float().cpu().numpy()

    found = neighbours.nearest(read, n, count, **limits)[0]
    return np.where(found < 0, found[:, :1], found)


CELLS, MOST, FULL = 1 << 23, 10**8, 0.3


@dataclass(frozen=True)
class GraphLimits:
    """Limits that bound time and memory of `add_similar_pairs`.

    Attributes:
        cells: Numbers in one block of rows against all rows.
        exact_rows: Largest number of rows for which all pairs above the threshold are taken.
        pairs: Maximum number of new pairs for more rows: each row takes its best ``pairs / n``.
    """

    cells: int = CELLS
    exact_rows: int = 100_000
    pairs: int = MOST


LIMITS = GraphLimits()


def row_blocks(n: int, cells: int = CELLS) -> list[slice]:
    """Split n rows into blocks, so that a block against all n rows has about ``cells`` numbers."""
    size = max(1, cells // n)
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def default_neighbours(n: int) -> int:
    """Return the default number of similar neighbours: 0.03 n, at least 10, and at most 10^8 pairs in all."""
    return max(1, min(max(10, round(0.03 * n)), MOST // n, n - 1))


def pair_signs(pairs: Any, rows: Tensor) -> Tensor:
    """Return which pairs of some rows are in a set of pairs, float +1 or -1 ``(b, b)``.

    Args:
        pairs: Sparse bool ``(n, n)`` in CSR form.
        rows: Row numbers, int64 ``(b,)``.
    """
    ids = rows.cpu().numpy()
    return torch.from_numpy(pairs[ids][:, ids].toarray()).to(rows.device).float() * 2 - 1


def pack_graph(pairs: Any) -> Tensor:
    """Return a set of pairs for a checkpoint: row starts, then columns, int64 ``(n + 1 + pairs,)``; empty for None."""
    if pairs is None:
        return torch.empty(0, dtype=torch.int64)
    return torch.from_numpy(np.concatenate([pairs.indptr, pairs.indices]).astype(np.int64))


def unpack_graph(state: Tensor, n: int) -> Any:
    """Return the set of pairs of n rows that `pack_graph` wrote, or None."""
    starts, columns = np.split(state.cpu().numpy(), [n + 1])
    return sp.csr_array((np.ones(len(columns), bool), columns, starts), shape=(n, n)) if len(starts) else None


def neighbour_pairs(near: np.ndarray, second: int, init: Literal["both", "nn", "union", "inter"]) -> Any:
    """Return similar pairs, built from lists of neighbours.

    With N1(i) the given list of i, including i, and N2(i) the ``second`` rows whose lists share most entries
    with N1(i), i and j are similar under ``"nn"`` for j in N1(i), ``"both"`` for j in N1(i) and N2(i),
    ``"union"`` for j in any N1 of a member of N2(i), ``"inter"`` for j in all of them.

    Args:
        near: Row numbers, int64 ``(n, k)``, each row's own number included.
        second: Size of N2, 1 to n.
        init: Name of the rule.

    Returns:
        Sparse bool ``(n, n)`` in CSR form, symmetric (one direction is enough), with its diagonal.
    """
    if init == "nn":
        return symmetric_pairs(_lists(near, bool))
    first = _lists(near, np.int32)
    holders = first.T.tocsr()  # once, not for each block
    most = np.concatenate([_most_shared(first[rows] @ holders, second) for rows in row_blocks(len(near))])
    wide = _lists(most, np.int32)
    if init == "both":
        return symmetric_pairs(first.multiply(wide))
    reached = [(wide[rows] @ first) >= (1 if init == "union" else second) for rows in row_blocks(len(near))]
    return symmetric_pairs(sp.vstack(reached))


def _lists(ids: np.ndarray, kind: type) -> Any:
    """Return lists of row numbers ``(n, k)`` as a sparse 0/1 matrix of a kind of numbers, ``(n, n)``."""
    n, k = ids.shape
    width = np.int32 if n * k < 2**31 else np.int64
    own = ids.ravel().astype(width), np.arange(0, n * k + 1, k, dtype=width)
    return sp.csr_array((np.ones(n * k, kind), *own), shape=(n, n))


def _most_shared(shared: Any, count: int) -> np.ndarray:
    """Return the columns with the highest counts, int64 ``(b, count)``; among equals the lower number."""
    n = shared.shape[1]
    keys = shared.toarray().astype(np.int64) * n + np.arange(n)[::-1]
    return np.argpartition(keys, n - count, axis=1)[:, n - count :]


def symmetric_pairs(pairs: Any) -> Any:
    """Return the pairs in both directions and with the diagonal, sparse bool in CSR form."""
    return _both_ways(pairs.astype(bool, copy=False) + sp.eye_array(pairs.shape[0], dtype=bool, format="csr"))


def _both_ways(pairs: Any) -> Any:
    return pairs + pairs.T.tocsr()  # a sum of bools is "or", and keeps 5 bytes a pair


def add_similar_pairs(
    pairs: Any,
    codes: Tensor,
    strictness: float,
    limit: float,
    *,
    diagonal: bool = True,
    limits: GraphLimits = LIMITS,
) -> Any:
    """Add the pairs whose codes are at least as similar as those of the current pairs are on average.

    Args:
        pairs: Sparse bool ``(n, n)``, symmetric, with its diagonal.
        codes: float ``(n, bits)``; the inner product of two codes is their similarity G.
        strictness: gamma; the threshold is the mean of G over the pairs plus gamma standard deviations (of a sample).
        limit: Maximum number of entries of the result.
        diagonal: Whether a row and itself count in mean and deviation.
        limits: What bounds time and memory.

    Returns:
        The union of old and new pairs, sparse bool ``(n, n)``. The old pairs where the union would exceed ``limit``;
        the union is then not built.
    """
    parts = row_blocks(len(codes), limits.cells)
    threshold = _threshold(pairs, codes, parts, strictness, diagonal)
    joined: list[Any] = []
    count = 0
    for rows in parts:
        new = _pairs_above(codes, rows, threshold, limits)
        count += new.nnz
        if count > limit:
            return pairs
        joined.append(pairs[rows] + new)
    whole = sp.vstack(joined, format="csr")
    joined.clear()
    grown = _both_ways(whole)
    return grown if grown.nnz <= limit else pairs


def _threshold(pairs: Any, codes: Tensor, parts: list[slice], strictness: float, diagonal: bool) -> float:
    count, total, square = 0, 0.0, 0.0
    for rows in parts:
        own, other = pairs[rows].nonzero()
        keep = slice(None) if diagonal else own + rows.start != other
        places = torch.from_numpy(np.stack([own[keep], other[keep]]).astype(np.int64)).to(codes.device)
        values = (codes[rows] @ codes.T)[places[0], places[1]].double()
        count += len(values)
        total += float(values.sum())
        square += float(values.square().sum())
    if count < 2:
        return np.inf
    mean = total / count
    deviation = (max(square - count * mean**2, 0.0) / (count - 1)) ** 0.5
    return mean + strictness * deviation if deviation else mean


def _pairs_above(codes: Tensor, rows: slice, threshold: float, limits: GraphLimits) -> Any:
    """Return the pairs of a block of rows with an inner product from the threshold up."""
    n = len(codes)
    likeness = codes[rows] @ codes.T
    if n > limits.exact_rows:
        values, columns = likeness.topk(max(1, limits.pairs // n), dim=1)
        hit = values >= threshold
        own, other = hit.nonzero()[:, 0], columns[hit]
    else:
        own, other = (likeness >= threshold).nonzero().T
    places = own.int().cpu().numpy(), other.int().cpu().numpy()
    return sp.csr_array((np.ones(len(own), bool), places), shape=(rows.stop - rows.start, n))
