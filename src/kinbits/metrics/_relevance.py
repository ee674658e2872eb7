"""Which database items answer which query, handed out in blocks so that the whole matrix never exists."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits._errors import DataError


class Relevance(Protocol):
    """Relevance of ``database`` items to ``queries`` queries.

    Attributes:
        queries: How many queries there are.
        database: How many database items there are.
    """

    queries: int
    database: int

    def block(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return the relevance to queries ``start`` to ``stop``, bool ``(stop - start, database)``."""
        ...


class LabelRelevance:
    """Relevant means: of the same class, or sharing at least one label.

    Args:
        query_labels: int ``(q,)`` class numbers, -1 for unlabelled; or 0/1 multi-hot ``(q, C)``.
        database_labels: The same for the database, ``(n,)`` or ``(n, C)``.

    Raises:
        DataError: if the two are not labels of one kind.

    Example:
        >>> from kinbits.metrics import LabelRelevance
        >>> LabelRelevance([0, 1], [1, 1, 0]).block(0, 2)
        array([[False, False,  True],
               [ True,  True, False]])
    """

    def __init__(self, query_labels: ArrayLike, database_labels: ArrayLike) -> None:
        query, database = np.asarray(query_labels), np.asarray(database_labels)
        for labels in (query, database):
            if labels.ndim not in (1, 2) or labels.dtype.kind not in "iub":
                raise DataError(
                    f"labels are {labels.dtype} {labels.shape}; give class numbers (n,) or multi-hot (n, C)"
                )
        if query.ndim != database.ndim or query.shape[1:] != database.shape[1:]:
            raise DataError(f"labels of queries {query.shape} and database {database.shape} do not fit")
        self.queries, self.database = len(query), len(database)
        if query.ndim == 2:  # float32 so that shared labels are counted by BLAS
            self._query, self._database = query.astype(np.float32), database.astype(np.float32)
        else:
            self._query, self._database = _numbers(query, -1), _numbers(database, -2)

    def block(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return the relevance to queries ``start`` to ``stop``, bool ``(stop - start, database)``."""
        query = self._query[start:stop]
        if query.ndim == 2:
            return np.asarray(query @ self._database.T > 0)
        return np.asarray(query[:, None] == self._database)


def _numbers(labels: NDArray[Any], unlabelled: int) -> NDArray[Any]:
    """Give unlabelled items a number that the other side never has; narrow numbers compare faster."""
    numbers = np.where(labels < 0, unlabelled, labels.astype(np.int64))
    return numbers.astype(np.int16 if numbers.max(initial=0) < 2**15 else np.int64)


class MatrixRelevance:
    """Relevance given as it is.

    Args:
        matrix: bool ``(q, n)``.

    Raises:
        DataError: if the array is of another dtype or dimension.
    """

    def __init__(self, matrix: ArrayLike) -> None:
        self._matrix: NDArray[np.bool_] = np.asarray(matrix)
        if self._matrix.dtype != np.bool_ or self._matrix.ndim != 2:
            raise DataError(f"relevance is {self._matrix.dtype} {self._matrix.shape}; give bool (q, n)")
        self.queries, self.database = self._matrix.shape

    def block(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return the relevance to queries ``start`` to ``stop``, bool ``(stop - start, database)``."""
        return self._matrix[start:stop]
