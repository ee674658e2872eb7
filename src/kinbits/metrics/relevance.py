"""Relevance of database items to queries, without an array of all pairs where possible."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits import hamming
from kinbits.errors import DataError
from kinbits.metrics.groups import Counts, Scale

Codes = NDArray[np.uint8]
Levels = NDArray[np.uint16]
_SMALL = 1 << 15  # class numbers up to here are counted, not sorted

Counter = Callable[[int, int], Counts]


class Relevance(Protocol):
    """Relevance of ``database`` items to ``queries`` queries.

    Attributes:
        queries: Number of queries.
        database: Number of database items.
    """

    queries: int
    database: int

    def block(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return the relevance to queries ``start`` to ``stop``, bool ``(stop - start, database)``."""
        ...


class GradedRelevance(ABC):
    """Relevance in levels, of which each has a grade.

    Attributes:
        queries: Number of queries.
        database: Number of database items.
        scale: Grades of the levels.
    """

    queries: int
    database: int
    scale: Scale

    @property
    def cells(self) -> int:
        """Numbers that counting needs at one time for each query."""
        return 1

    @abstractmethod
    def levels(self, start: int, stop: int) -> Levels:
        """Return the level of every item for queries ``start`` to ``stop``, uint16 ``(stop - start, database)``."""

    def own_levels(self, start: int, stop: int) -> Levels:
        """Return the level of item i for query i, uint16 ``(stop - start,)``, where the database is the queries."""
        found = self.levels(start, stop)
        query = np.arange(len(found))
        return found[query, start + query]

    @abstractmethod
    def counter(self, queries: Codes, codes: Codes, threads: int | None) -> Counter:
        """Return a function of ``(start, stop)`` that counts items by level and distance, int64 ``(b, G, 8w + 1)``."""

    def block(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return the relevance to queries ``start`` to ``stop``, bool ``(stop - start, database)``."""
        levels = self.levels(start, stop)
        known = np.minimum(levels, len(self.scale.grades))  # junk is relevant to nothing
        return np.asarray(np.append(self.scale.relevant, False)[known])


class GroupedRelevance(GradedRelevance):
    """Relevance of items that fall into sets of equal ones, such as the items of a class.

    Args:
        sets: The set of each item, int ``(n,)``, 0 to S - 1.
        queries: Number of queries.
        scale: Grades of the levels.
    """

    def __init__(self, sets: NDArray[np.integer], queries: int, scale: Scale) -> None:
        self.queries, self.database, self.scale = queries, len(sets), scale
        self._sets = sets

    @property
    def cells(self) -> int:
        """The sets."""
        return int(self.table(0, 0).shape[1])

    @abstractmethod
    def table(self, start: int, stop: int) -> Levels:
        """Return the level of every set for queries ``start`` to ``stop``, uint16 ``(stop - start, S)``."""

    def levels(self, start: int, stop: int) -> Levels:
        """Return the level of every item for queries ``start`` to ``stop``, uint16 ``(stop - start, database)``."""
        return self.table(start, stop)[:, self._sets]

    def own_levels(self, start: int, stop: int) -> Levels:
        """Return the level of item i for query i, uint16 ``(stop - start,)``, from that of its set."""
        found = self.table(start, stop)
        return np.asarray(found[np.arange(len(found)), self._sets[start : start + len(found)]])

    def counter(self, queries: Codes, codes: Codes, threads: int | None) -> Counter:
        """Sort the codes by set, once, so that no pair of query and item needs a look at its labels."""
        ends = np.cumsum(np.bincount(self._sets, minlength=self.table(0, 0).shape[1]))
        together = codes[np.argsort(self._sets, kind="stable")]
        count = len(self.scale.grades)

        def counts(start: int, stop: int) -> Counts:
            worth = self.table(start, stop)
            return hamming.tally(queries[start:stop], together, ends, worth, count=count, threads=threads)

        return counts


class LabelRelevance(GroupedRelevance):
    """Relevant are items of the same class, or with a shared label; the grade is the number of shared labels.

    Args:
        query_labels: int ``(q,)`` class numbers, -1 for unlabelled; or 0/1 multi-hot ``(q, C)``.
        database_labels: The same for the database, ``(n,)`` or ``(n, C)``.

    Raises:
        DataError: If the two are not labels of one kind.

    Example:
        >>> from kinbits.metrics import LabelRelevance
        >>> LabelRelevance([0, 1], [1, 1, 0]).block(0, 2)
        array([[False, False,  True],
               [ True,  True, False]])
    """

    def __init__(self, query_labels: ArrayLike, database_labels: ArrayLike) -> None:
        query, database = checked_labels(query_labels, database_labels)
        self._query = query
        sets: NDArray[Any]
        if query.ndim == 1:
            self._kinds, sets = _unique(database)
            most = 1
        else:
            self._kinds, sets = _unique_rows(database)
            most = min(int(query.sum(axis=1).max(initial=0)), int(self._kinds.sum(axis=1).max(initial=0)))
        self.multi = query.ndim == 2
        super().__init__(sets, len(query), Scale.from_grades(np.arange(max(1, most) + 1)))

    def table(self, start: int, stop: int) -> Levels:
        """Return how many labels each kind of item shares with queries ``start`` to ``stop``."""
        query = self._query[start:stop]
        if not self.multi:
            return np.asarray((query[:, None] == self._kinds) & (query[:, None] >= 0), np.uint16)
        shared = query.astype(np.float32) @ self._kinds.astype(np.float32).T  # exact: far below 2^24
        return np.asarray(shared, np.uint16)


class MatrixRelevance(GradedRelevance):
    """Relevance as an array of all pairs.

    Args:
        matrix: bool ``(q, n)``.

    Raises:
        DataError: If the array is of another dtype or dimension.
    """

    def __init__(self, matrix: ArrayLike) -> None:
        self._matrix: NDArray[np.bool_] = np.asarray(matrix)
        if self._matrix.dtype != np.bool_ or self._matrix.ndim != 2:
            raise DataError(f"relevance is {self._matrix.dtype} {self._matrix.shape}; give bool (q, n)")
        self.queries, self.database = self._matrix.shape
        self.scale = Scale.from_grades([0, 1])

    @property
    def cells(self) -> int:
        """One per item."""
        return self.database

    def levels(self, start: int, stop: int) -> Levels:
        """Return the relevance to queries ``start`` to ``stop`` as 0 and 1."""
        return self.block(start, stop).astype(np.uint16)

    def block(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return the relevance to queries ``start`` to ``stop``, bool ``(stop - start, database)``."""
        return self._matrix[start:stop]

    def counter(self, queries: Codes, codes: Codes, threads: int | None) -> Counter:
        """Count with one flag per pair."""

        def counts(start: int, stop: int) -> Counts:
            total, relevant = hamming.histograms(queries[start:stop], codes, self.block(start, stop))
            return np.stack([total - relevant, relevant], axis=1)

        return counts


class _Given(MatrixRelevance):
    """Relevance of a class that others wrote, which only hands out blocks."""

    def __init__(self, given: Relevance) -> None:
        self.queries, self.database, self.block = given.queries, given.database, given.block  # type: ignore[method-assign]
        self.scale = Scale.from_grades([0, 1])


def graded(relevance: Relevance) -> GradedRelevance:
    """Return any relevance as one in levels."""
    return relevance if isinstance(relevance, GradedRelevance) else _Given(relevance)


def checked_labels(query_labels: ArrayLike, database_labels: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the labels of queries and database, both class numbers ``(n,)`` or both multi-hot ``(n, C)``.

    Raises:
        DataError: If they are anything else.
    """
    query, database = np.asarray(query_labels), np.asarray(database_labels)
    for labels in (query, database):
        if labels.ndim not in (1, 2) or labels.dtype.kind not in "iub":
            hint = "; NaN is no label, write -1 for none" if labels.dtype.kind == "f" else ""
            raise DataError(
                f"labels are {labels.dtype} {labels.shape}; give class numbers (n,) or multi-hot (n, C){hint}"
            )
        if labels.ndim == 2 and labels.dtype.kind != "b" and ((labels != 0) & (labels != 1)).any():
            raise DataError("multi-hot labels hold other numbers than 0 and 1")
    if query.ndim != database.ndim or query.shape[1:] != database.shape[1:]:
        raise DataError(f"labels of queries {query.shape} and database {database.shape} do not fit")
    return query, database


def _unique(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.integer]]:
    """Return the distinct class numbers, and which one each label is; without a sort where numbers are small."""
    numbers = np.maximum(labels.astype(np.int64), -1)  # whatever is below 0 is unlabelled
    if not len(numbers) or numbers.max() > _SMALL:
        return np.unique(numbers, return_inverse=True)
    used = np.bincount(numbers + 1) > 0
    return np.flatnonzero(used) - 1, (np.cumsum(used) - 1).astype(np.uint16)[numbers + 1]


def _unique_rows(labels: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.integer]]:
    """Return the distinct rows of multi-hot labels, and which one each row is."""
    packed = np.packbits(labels != 0, axis=1)
    if not packed.shape[1]:
        return np.zeros((1, 0), np.bool_), np.zeros(len(labels), np.int64)
    as_one = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1])))[:, 0]
    _, first, sets = np.unique(as_one, return_index=True, return_inverse=True)
    return labels[first] != 0, sets
