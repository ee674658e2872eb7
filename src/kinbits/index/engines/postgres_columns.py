"""Metadata as columns of SQL: types, names, and values that fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits.errors import UsageError
from kinbits.index.engines.postgres_address import MOST_NAME_BYTES
from kinbits.index.filters.column_types import Kind, joined, kind_of_values

CODE = "binary_code"  # the column of the code
SQL_TYPES: dict[Kind, str] = {
    "integer": "bigint",
    "number": "double precision",
    "text": "text",
    "boolean": "boolean",
}
KINDS_OF_TYPES: dict[str, Kind] = {
    **{sql_type: kind for kind, sql_type in SQL_TYPES.items()},
    "smallint": "integer",
    "integer": "integer",
    "real": "number",
    "character varying": "text",
}
"""Type of SQL -> type of a filter; columns that other programs add with other types are left out."""

_OWN_NAMES = {CODE, "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}
_EXACT = 2**53  # whole numbers up to here are exact as double precision


@dataclass(frozen=True)
class PlannedColumn:
    """A column of new items.

    Attributes:
        kind: Its type in the table, once the items are added.
        values: The values, of this type or None.
        added: Whether the table lacks it.
        widened: Whether it holds whole numbers, and fractions are added.
    """

    kind: Kind
    values: list[Any]
    added: bool
    widened: bool

    def rows(self, rows: NDArray[np.int64]) -> PlannedColumn:
        """Return the column with the values of some items."""
        return replace(self, values=[self.values[row] for row in rows.tolist()])


def plan_columns(given: Mapping[str, list[Any]], known: Mapping[str, Kind]) -> dict[str, PlannedColumn]:
    """Plan how the columns of new items are stored; those without any value are left out if the table lacks them.

    Raises:
        UsageError: If PostgreSQL cannot store a name or value, or one column would hold several types.
    """
    return {
        name: _planned(name, values, known.get(name, "empty"))
        for name, values in given.items()
        if _check_name(name) in known or any(one is not None for one in values)
    }


def _planned(name: str, values: list[Any], before: Kind) -> PlannedColumn:
    own = kind_of_values(values)
    after = joined([before, own])
    if after == "mixed":
        held = f"is {SQL_TYPES[before]}" if before != "empty" else "gets values of several types"
        raise UsageError(
            f"metadata column '{name}' {held}, and a column of PostgreSQL has one type; give values of one type, e.g. "
            "all as text, or another column"
        )
    if before == "integer" and after == "number" and all(one is None or _is_whole(one) for one in values):
        return PlannedColumn("integer", [None if one is None else int(one) for one in values], False, False)
    if after == "number":
        values = [None if one is None else _as_double(name, one) for one in values]
    if after == "text" and (wrong := next((one for one in values if one is not None and "\0" in one), None)):
        raise UsageError(f"metadata column '{name}': PostgreSQL cannot store {wrong!r} with its zero byte; remove it")
    return PlannedColumn(after, values, before == "empty", before == "integer" and after == "number")


def large_numbers_error(name: str) -> UsageError:
    """Return the error for fractions in a column with whole numbers that double precision cannot hold."""
    return UsageError(
        f"metadata column '{name}' holds whole numbers beyond 2^53, so it cannot also hold fractions; use another one"
    )


def _check_name(name: str) -> str:
    if name in _OWN_NAMES:
        raise UsageError(f"PostgreSQL or the index has a column '{name}' of its own; rename this metadata column")
    if len(name.encode()) > MOST_NAME_BYTES or "\0" in name:
        raise UsageError(
            f"metadata column {name[:40]!r}: PostgreSQL takes names of at most {MOST_NAME_BYTES} bytes; rename it"
        )
    return name


def _is_whole(value: float) -> bool:
    return value == int(value) and -(2**63) <= value < 2**63


def _as_double(name: str, value: float) -> float:
    if float(value) != value:
        raise large_numbers_error(name)
    return float(value)
