"""Arrow tables whose cells are read as Python values, ids or metadata."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kinbits.data.mapped_rows import MappedRows
from kinbits.data.sources.cells import cells_of, decoded, to_ids, to_metadata
from kinbits.data.sources.vectors import is_vector_type, mapped_vectors, to_vectors


class ArrowTable:
    """An Arrow table, or some of its rows.

    Args:
        arrow: A `pyarrow.Table`.
        source: Named in errors.
        rows: int64 rows to show; None for all.
        text: Whether every column is text, as in a CSV file; numbers are then written in digits.
    """

    def __init__(self, arrow: Any, source: str, rows: np.ndarray | None = None, *, text: bool = False) -> None:
        self.arrow, self.source, self.rows, self.text = arrow, source, rows, text
        self.names: list[str] = list(arrow.column_names)

    def __len__(self) -> int:
        return len(self.arrow) if self.rows is None else len(self.rows)

    def column(self, name: str) -> Any:
        """Return all cells of a column as a `pyarrow.ChunkedArray`."""
        return self.arrow.column(name)

    def cells(self, name: str, convert: Callable[[Any], Any] = decoded) -> list[Any]:
        """Return the cells of the rows as Python values.

        Args:
            name: Name of the column.
            convert: Function that is applied to the Arrow column first.

        Raises:
            DataError: If the column has values that Python cannot represent.
        """
        column = convert(self.column(name))
        return cells_of(column if self.rows is None else column.take(self.rows), name)

    def ids(self, name: str) -> np.ndarray:
        """Return a column as ids: int64 ``(n,)`` if all cells are whole numbers, else str ``(n,)``.

        Raises:
            DataError: If a cell is empty or holds several values.
        """
        return to_ids(self.cells(name), f"{self.source}, column '{name}'")

    def metadata(self, name: str, convert: Callable[[Any], Any] = decoded) -> tuple[list[Any] | None, str | None]:
        """Return a column as metadata: int, float, bool, str, or None for a missing value.

        Args:
            name: Name of the column.
            convert: Function that is applied to the Arrow column first.

        Returns:
            The values, None if the column holds long binary data; and a note about the conversion, or None.

        Raises:
            DataError: If the column has values that Python cannot represent.
        """
        return to_metadata(self.cells(name, convert))

    def take(self, rows: np.ndarray) -> ArrowTable:
        """Return a table of some rows.

        Args:
            rows: int64 ``(m,)`` rows of this table.
        """
        return ArrowTable(self.arrow, self.source, rows if self.rows is None else self.rows[rows], text=self.text)

    def holds_text(self, name: str) -> bool:
        """Tell whether a column is text."""
        import pyarrow.types as types

        kind = decoded(self.column(name)).type
        return bool(types.is_string(kind) or types.is_large_string(kind))

    def holds_vectors(self, name: str) -> bool:
        """Tell whether a column may hold vectors: lists of numbers."""
        return is_vector_type(decoded(self.column(name)).type)

    def vectors(self, name: str) -> np.ndarray | MappedRows:
        """Return a column of lists of numbers as float ``(n, d)``; see `mapped_vectors` and `to_vectors`.

        Raises:
            DataError: If the lists differ in length, or hold no numbers.
        """
        column = decoded(self.column(name))
        mapped = mapped_vectors(column)
        if mapped is not None:
            return mapped if self.rows is None else mapped.select(self.rows)
        rows = column if self.rows is None else column.take(self.rows)
        return to_vectors(rows, f"{self.source}, column '{name}'")

    def holds_images(self, name: str) -> bool:
        """Tell whether a column may hold images: paths, bytes, or structs with one of them."""
        import pyarrow.types as types

        kind = self.column(name).type
        if types.is_struct(kind):
            return bool({"bytes", "path"} & {kind.field(place).name for place in range(kind.num_fields)})
        return self.holds_text(name) or bool(types.is_binary(kind) or types.is_large_binary(kind))
