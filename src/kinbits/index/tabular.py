"""Hits as tables: arrays, data frames, Arrow tables, and text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits._util import import_pandas, printable, require, shortened
from kinbits.errors import DataError

Columns = Mapping[str, Any]

_LONGEST = 60  # characters of a value in a text table


def pad_rows(rows: Sequence[NDArray[Any]], fill: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Stack arrays of different lengths, padded at their ends, ``(n, longest)``."""
    padded = np.full((len(rows), max(map(len, rows), default=0)), fill, dtype)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    return padded


def by_column(rows: Sequence[Mapping[str, Any]], known: Iterable[str] = ()) -> dict[str, list[Any]]:
    """Turn rows into columns, the known ones first; None where a row lacks a column."""
    names = dict.fromkeys([*known, *(name for row in rows for name in row)])
    return {name: [row.get(name) for row in rows] for name in names}


def to_pandas(own: Columns, metadata: Columns) -> Any:
    """Make a pandas data frame.

    Args:
        own: Arrays by name.
        metadata: Lists of plain values by name.

    Raises:
        PlatformError: If pandas is not installed.
    """
    pd = import_pandas()
    values = {name: pd.Series(column, dtype=_pandas_type(column)) for name, column in metadata.items()}
    return pd.DataFrame({**own, **values})


def _pandas_type(values: list[Any]) -> str | None:
    """Return the pandas type that holds integers or booleans with missing values; None lets pandas choose.

    By itself, pandas would turn them into floats and objects.
    """
    types = set(map(type, values))
    if type(None) not in types:
        return None
    return {frozenset({int}): "Int64", frozenset({bool}): "boolean"}.get(frozenset(types - {type(None)}))


def to_arrow(own: Columns, metadata: Columns) -> Any:
    """Make an Arrow table.

    Args:
        own: Arrays by name.
        metadata: Lists of plain values by name.

    Raises:
        PlatformError: If pyarrow is not installed.
        DataError: If a column holds values of several types.
    """
    pa = require("pyarrow")
    return pa.table({**own, **{name: _arrow_array(pa, name, values) for name, values in metadata.items()}})


def _arrow_array(pa: Any, name: str, values: list[Any]) -> Any:
    try:
        return pa.array(values)
    except pa.ArrowException:
        raise DataError(
            f"column '{name}' holds values of several types, which an Arrow table cannot store; use to_pandas() or "
            "to_dicts()"
        ) from None


def to_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lay out rows in columns: text to the left, other values to the right."""
    columns = by_column(rows)
    cells = [[cell_text(name), *map(cell_text, values)] for name, values in columns.items()]
    widths = [max(map(len, column)) for column in cells]
    to_left = [any(isinstance(value, str) for value in values) for values in columns.values()]

    def line(values: Sequence[str]) -> str:
        padded = zip(values, widths, to_left, strict=True)
        return "  ".join(v.ljust(w) if left else v.rjust(w) for v, w, left in padded).rstrip()

    return "\n".join(map(line, zip(*cells, strict=True)))


def concepts_text(named: Mapping[str, float]) -> str:
    """Write classes with their probabilities, such as ``tabby cat 0.6, lynx 0.2``."""
    return ", ".join(f"{name} {probability:.2g}" for name, probability in named.items())


def cell_text(value: Any) -> str:
    """Write a value in one short line of printable characters."""
    if isinstance(value, Mapping):
        value = concepts_text(value)
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return shortened(printable(" ".join(text.split())), _LONGEST)
