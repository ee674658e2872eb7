"""Relevance by lists: ground truth that names the relevant items of each query, and true nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits import hamming
from kinbits.errors import DataError
from kinbits.metrics.groups import JUNK, Counts, Scale
from kinbits.metrics.relevance import Codes, Counter, GradedRelevance, Levels

Rows = NDArray[np.int64]


class _Listed(GradedRelevance):
    """A few items per query have a level; all others have level 0."""

    def __init__(self, listed: Sequence[tuple[Rows, Levels]], database: int, scale: Scale) -> None:
        self.queries, self.database, self.scale = len(listed), database, scale
        self._listed = listed

    def levels(self, start: int, stop: int) -> Levels:
        """Return the level of every item for queries ``start`` to ``stop``, uint16 ``(stop - start, database)``."""
        found = np.zeros((len(self._listed[start:stop]), self.database), np.uint16)
        for row, (items, levels) in zip(found, self._listed[start:stop], strict=True):
            row[items] = levels
        return found

    def counter(self, queries: Codes, codes: Codes, threads: int | None) -> Counter:
        """Count all items as unknown, then move the listed ones to their levels and take junk away."""
        ends = np.array([len(codes)])

        def counts(start: int, stop: int) -> Counts:
            found = np.zeros((len(queries[start:stop]), len(self.scale.grades), 8 * codes.shape[1] + 1), np.int64)
            worth = np.zeros((len(found), 1), np.uint16)
            found[:, :1] = hamming.tally(queries[start:stop], codes, ends, worth, threads=threads)
            for query, one, (items, levels) in zip(queries[start:stop], found, self._listed[start:stop], strict=True):
                near = hamming.paired_distances(query[None], codes[items])
                np.subtract.at(one[0], near, 1)
                known = levels != JUNK
                np.add.at(one, (levels[known], near[known]), 1)
            return found

        return counts


class ListRelevance(_Listed):
    """Relevance by lists of row numbers, as landmark benchmarks give it.

    Lists of revisited Oxford and Paris come out of `kinbits.data.GroundTruth.split`, by difficulty.

    Args:
        positives: For each query, the rows of the relevant items; q lists, which may be empty.
        database: Number of database items.
        junk: For each query, rows that are taken out of the ranking, such as the query itself; None for none.

    Raises:
        DataError: If a row is no database row, or both relevant and junk.

    Example:
        >>> from kinbits.metrics import ListRelevance
        >>> ListRelevance([[0, 2], []], database=3).block(0, 2)
        array([[ True, False,  True],
               [False, False, False]])
    """

    def __init__(
        self, positives: Sequence[ArrayLike], database: int, *, junk: Sequence[ArrayLike] | None = None
    ) -> None:
        removed = [()] * len(positives) if junk is None else junk
        if len(removed) != len(positives):
            raise DataError(
                f"there are lists of positives for {len(positives)} queries, but of junk for {len(removed)}"
            )
        listed = [
            _joined(yes, no, database, query) for query, (yes, no) in enumerate(zip(positives, removed, strict=True))
        ]
        super().__init__(listed, database, Scale.from_grades([0, 1]))


class NeighbourRelevance(_Listed):
    """Relevant are the true nearest neighbours of each query, by the distance of the uncompressed features.

    Args:
        neighbours: Rows of the k nearest items of each query, nearest first, int ``(q, k)``.
        database: Number of database items.

    Raises:
        DataError: If a row is no database row, or named twice for a query.
    """

    def __init__(self, neighbours: ArrayLike, database: int) -> None:
        rows = np.asarray(neighbours)
        if rows.ndim != 2 or rows.dtype.kind not in "iu" or not 0 < rows.shape[1] < JUNK:
            raise DataError(f"neighbours are {rows.dtype} {rows.shape}; give row numbers, int (q, k), nearest first")
        self.known = int(rows.shape[1])
        levels = np.arange(1, self.known + 1, dtype=np.uint16)
        for query, row in enumerate(rows):
            _check(row, database, query)
            if len(np.unique(row)) < len(row):
                raise DataError(f"query {query} names a neighbour twice")
        super().__init__([(row, levels) for row in rows], database, _nearness(self.known))


def _nearness(known: int) -> Scale:
    """Grade the nearest with 1 and the others evenly less, so that the best order inside a tie is the true one."""
    return Scale.from_grades(np.concatenate([[0.0], 1.0 - np.arange(known) / known]))


def _joined(positive: ArrayLike, junk: ArrayLike, database: int, query: int) -> tuple[Rows, Levels]:
    """Return the listed rows of a query and their levels."""
    yes, no = np.unique(_rows(positive)), np.unique(_rows(junk))
    both = np.intersect1d(yes, no)
    if len(both):
        raise DataError(f"query {query}: row {both[0]} is listed as relevant and as junk")
    rows = np.concatenate([yes, no])
    _check(rows, database, query)
    return rows, np.concatenate([np.ones(len(yes), np.uint16), np.full(len(no), JUNK, np.uint16)])


def _rows(given: ArrayLike) -> Rows:
    rows = np.asarray(given)
    if rows.size == 0:
        return np.zeros(0, np.int64)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise DataError(f"a list of rows is {rows.dtype} {rows.shape}; give whole numbers (m,)")
    return rows.astype(np.int64)


def _check(rows: Rows, database: int, query: int) -> None:
    if len(rows) and not (rows.min() >= 0 and rows.max() < database):
        raise DataError(
            f"query {query} names rows from {rows.min()} to {rows.max()}, the database has 0..{database - 1}"
        )
