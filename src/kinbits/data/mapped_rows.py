"""Rows of vectors that stay on disk until they are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from kinbits.errors import DataError


class MappedRows:
    """Vectors ``(n, d)`` in one or several memory-mapped arrays, such as shards; indexing reads rows into memory.

    Args:
        parts: Arrays ``(n_i, d)`` of one width and dtype.
        rows: The rows to show, int64 ``(n,)``; None shows all.
        changes: Applied in order to what is read, float ``(m, d)``: functions that change each row alone, and can be
            pickled.

    Raises:
        DataError: If there is no part, or parts differ in width or dtype.

    Example:
        >>> rows = MappedRows([np.zeros((2, 3)), np.ones((2, 3))])
        >>> rows.shape, rows[[3, 0]].tolist()
        ((4, 3), [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    """

    ndim = 2

    def __init__(
        self,
        parts: Sequence[np.ndarray],
        rows: np.ndarray | None = None,
        changes: Sequence[Callable[[np.ndarray], np.ndarray]] = (),
    ) -> None:
        if len({(part.shape[1:], part.dtype) for part in parts}) != 1:
            kinds = sorted({f"{part.dtype} (n, {', '.join(map(str, part.shape[1:]))})" for part in parts})
            raise DataError(f"vectors in several arrays need one width and dtype; these are {' and '.join(kinds)}")
        self._parts = [np.asarray(part) for part in parts]  # slices of a plain array are faster than of np.memmap
        self._ends = np.cumsum([len(part) for part in parts])
        self._rows, self._changes = rows, tuple(changes)
        first = self._changed(self._parts[0][:0])
        self.dtype: np.dtype[Any] = first.dtype
        self.width: int = first.shape[1]

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._rows is None else len(self._rows)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows n, and width d."""
        return len(self), self.width

    @property
    def nbytes(self) -> int:
        """Bytes of all rows in memory."""
        return len(self) * self.width * self.dtype.itemsize

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return rows: ``(m, d)`` for a slice, row numbers or a mask; ``(d,)`` for one row number.

        Raises:
            IndexError: If a row is out of range, a mask has another length, or more than rows is asked for.
        """
        if isinstance(rows, (int, np.integer)):
            return np.asarray(self._read(np.array([range(len(self))[int(rows)]]))[0])
        return self._read(self._numbers(rows))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def select(self, rows: np.ndarray) -> Self:
        """Return a view of some rows ``(m,)``; nothing is read."""
        return type(self)(
            self._parts, self._numbers(rows) if self._rows is None else self._rows[self._numbers(rows)], self._changes
        )

    def changed(self, change: Callable[[np.ndarray], np.ndarray]) -> Self:
        """Return a view of the same rows, to which a function is applied when they are read."""
        return type(self)(self._parts, self._rows, (*self._changes, change))

    def _changed(self, read: np.ndarray) -> np.ndarray:
        for change in self._changes:
            read = change(read)
        return read

    def _numbers(self, rows: Any) -> np.ndarray:
        if isinstance(rows, slice):
            return np.arange(*rows.indices(len(self)))
        if isinstance(rows, tuple):
            raise IndexError("vectors on disk are read by rows; give one index")
        rows = np.asarray(rows)
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise IndexError(f"a mask of shape {rows.shape} does not fit {len(self)} rows")
            return np.flatnonzero(rows)
        numbers = np.asarray(np.where(rows < 0, rows + len(self), rows), np.int64)
        if ((numbers < 0) | (numbers >= len(self))).any():
            raise IndexError(f"a row is out of range; there are {len(self)}")
        return numbers

    def _read(self, rows: np.ndarray) -> np.ndarray:
        stored = rows if self._rows is None else self._rows[rows]
        part = np.searchsorted(self._ends, stored, "right")
        found = np.empty((len(stored), *self._parts[0].shape[1:]), self._parts[0].dtype)
        order = np.argsort(part, kind="stable")
        numbers, starts = np.unique(part[order], return_index=True)
        for number, places in zip(numbers, np.split(order, starts[1:]), strict=True):
            array = self._parts[number]
            found[places] = array[stored[places] - (self._ends[number] - len(array))]
        return self._changed(found)


def select_rows(array: np.ndarray | MappedRows, rows: np.ndarray) -> np.ndarray | MappedRows:
    """Return some rows ``(m,)`` of an array ``(n, d)``: a copy, or a view of what is on disk."""
    if isinstance(array, np.memmap):
        array = MappedRows([array])
    return array.select(rows) if isinstance(array, MappedRows) else array[rows]
