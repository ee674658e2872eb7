"""Ground truth that lists the relevant rows of each query, for data without class labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kinbits.errors import DataError, unknown_name

Difficulty = Literal["easy", "medium", "hard"]
DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")


@dataclass(frozen=True)
class GroundTruth:
    """Relevant and junk database rows of each query.

    A list is evaluated at three difficulties (Radenovic et al., Revisiting Oxford and Paris, CVPR 2018, section 3.3).
    Junk rows are removed from the ranking before a metric is computed. Rows that are not listed are irrelevant.

    ========== ============== ================
    difficulty relevant       junk
    ========== ============== ================
    easy       easy           junk and hard
    medium     easy and hard  junk
    hard       hard           junk and easy
    ========== ============== ================

    A list without difficulties (Google Landmarks v2) has only ``easy`` rows, so easy and medium are equal.

    Attributes:
        easy: For each query, int64 rows of the database that are clearly relevant.
        hard: For each query, int64 rows that are relevant and difficult.
        junk: For each query, int64 rows that are neither relevant nor irrelevant.
        database: Number of database rows.

    Raises:
        DataError: If lists differ in length, a row number is out of range, or a row is listed twice for one query.

    Example:
        >>> truth = GroundTruth.from_rows([[0, 2]], [[3]], [[1]], database=5)
        >>> [rows.tolist() for rows in truth.split("hard")[0]], [rows.tolist() for rows in truth.split("hard")[1]]
        ([[3]], [[0, 1, 2]])
    """

    easy: tuple[np.ndarray, ...]
    hard: tuple[np.ndarray, ...]
    junk: tuple[np.ndarray, ...]
    database: int

    def __post_init__(self) -> None:
        counts = {name: len(getattr(self, name)) for name in ("easy", "hard", "junk")}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{count} {name}" for name, count in counts.items())
            raise DataError(f"ground truth with {listed} lists; give one of each for every query")
        for query, lists in enumerate(zip(self.easy, self.hard, self.junk, strict=True)):
            _check_rows(np.concatenate(lists), query, self.database)

    @classmethod
    def from_rows(
        cls,
        easy: Sequence[Sequence[int] | np.ndarray],
        hard: Sequence[Sequence[int] | np.ndarray] | None = None,
        junk: Sequence[Sequence[int] | np.ndarray] | None = None,
        *,
        database: int,
    ) -> GroundTruth:
        """Build a ground truth from sequences of row numbers, one per query.

        Args:
            easy: Easy rows of each query.
            hard: Hard rows of each query; None for none.
            junk: Junk rows of each query; None for none.
            database: Number of database rows.
        """
        empty: list[Sequence[int] | np.ndarray] = [[]] * len(easy)
        return cls(_rows(easy), _rows(hard or empty), _rows(junk or empty), database)

    def __len__(self) -> int:
        return len(self.easy)

    @property
    def graded(self) -> bool:
        """Whether some relevant rows are hard, so that the difficulties differ."""
        return any(map(len, self.hard))

    def split(self, difficulty: Difficulty = "medium") -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        """Return the relevant and the junk rows of every query, each int64 and sorted.

        Args:
            difficulty: ``"easy"``, ``"medium"`` or ``"hard"``.

        Raises:
            UsageError: If the difficulty is unknown.
        """
        if difficulty == "easy":
            return self.easy, _joined(self.junk, self.hard)
        if difficulty == "medium":
            return _joined(self.easy, self.hard), self.junk
        if difficulty == "hard":
            return self.hard, _joined(self.junk, self.easy)
        raise unknown_name("difficulty", difficulty, DIFFICULTIES)

    def select(self, queries: np.ndarray, database: np.ndarray) -> GroundTruth:
        """Return the ground truth for some queries and database rows, renumbered.

        Args:
            queries: int64 rows of the queries to keep, in their new order.
            database: int64 rows of the database to keep, in their new order.
        """
        new_row = np.full(self.database, -1, np.int64)
        new_row[database] = np.arange(len(database))
        kept = ([new_row[lists[query]] for query in queries] for lists in (self.easy, self.hard, self.junk))
        easy, hard, junk = ([rows[rows >= 0] for rows in lists] for lists in kept)
        return GroundTruth.from_rows(easy, hard, junk, database=len(database))

    def answered(self, difficulty: Difficulty = "medium") -> int:
        """Return the number of queries with at least one relevant row; the others are left out of every mean."""
        return sum(len(rows) > 0 for rows in self.split(difficulty)[0])

    def describe(self) -> str:
        """Return one line with the numbers of answered queries and of listed rows."""
        if not any(map(len, (*self.hard, *self.junk))):
            return f"{self.answered():,} of {len(self):,} queries have an answer, {sum(map(len, self.easy)):,} in all"
        answered = ", ".join(f"{name} {self.answered(name):,}" for name in DIFFICULTIES)
        listed = ", ".join(f"{name} {sum(map(len, getattr(self, name))):,}" for name in ("easy", "hard", "junk"))
        return f"of {len(self):,} queries have an answer: {answered}; rows listed: {listed}"


def _rows(lists: Sequence[Sequence[int] | np.ndarray]) -> tuple[np.ndarray, ...]:
    return tuple(np.sort(np.asarray(rows, np.int64).reshape(-1)) for rows in lists)


def _joined(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return tuple(np.sort(np.concatenate(pair)) for pair in zip(a, b, strict=True))


def _check_rows(rows: np.ndarray, query: int, database: int) -> None:
    if len(rows) and not 0 <= rows.min() <= rows.max() < database:
        raise DataError(f"ground truth of query {query} names row {rows.max()} of a database of {database} rows")
    values, counts = np.unique(rows, return_counts=True)
    if (counts > 1).any():
        raise DataError(f"ground truth of query {query} lists database row {values[counts > 1][0]} more than once")
