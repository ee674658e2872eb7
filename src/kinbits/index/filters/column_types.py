"""Types of metadata columns, which decide how a filter is read and how SQLite stores a value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any, Literal

Kind = Literal["text", "integer", "number", "boolean", "mixed", "empty"]
"""Type of a column; ``number`` holds fractions, ``mixed`` values of several types, ``empty`` no value yet."""

KINDS: tuple[Kind, ...] = ("text", "integer", "number", "boolean", "mixed", "empty")

_OF_TYPES: dict[frozenset[type], Kind] = {
    frozenset(): "empty",
    frozenset({str}): "text",
    frozenset({int}): "integer",
    frozenset({float}): "number",
    frozenset({int, float}): "number",
    frozenset({bool}): "boolean",
}
# SQLite has no booleans. A column of them holds 0 and 1; a mixed one holds bytes, which are never equal to a number.
_AS_BYTES = {False: b"\0", True: b"\1"}
_STORED: dict[Kind, dict[Any, bool]] = {"boolean": {0: False, 1: True}, "mixed": {b"\0": False, b"\1": True}}


def kind_of_values(values: Iterable[Any]) -> Kind:
    """Return the type of a column of plain values; None is not counted."""
    return _OF_TYPES.get(frozenset(map(type, values)) - {type(None)}, "mixed")


def joined(kinds: Iterable[Kind]) -> Kind:
    """Return the type of the union of columns of these types."""
    return reduce(_join, kinds, "empty")


def _join(one: Kind, other: Kind) -> Kind:
    if one == other or other == "empty":
        return one
    if one == "empty":
        return other
    return "number" if {one, other} == {"integer", "number"} else "mixed"


def as_stored(value: Any, kind: Kind) -> Any:
    """Return a plain value as SQLite stores it in a column of this type."""
    return _AS_BYTES[value] if kind == "mixed" and isinstance(value, bool) else value


def column_as_stored(values: Iterable[Any], kind: Kind) -> Iterable[Any]:
    """Return a column of plain values as SQLite stores them."""
    if kind == "boolean":
        return map({False: 0, True: 1}.get, values)  # as exact integers, which sqlite3 stores five times as fast
    return (as_stored(value, kind) for value in values) if kind == "mixed" else values


def converted(field: str, own: Kind, kind: Kind) -> str:
    """Return the SQL that converts a column from one type to another."""
    return f"CASE {field} WHEN 0 THEN x'00' WHEN 1 THEN x'01' END" if (own, kind) == ("boolean", "mixed") else field


def decoded(rows: Sequence[Sequence[Any]], kinds: Sequence[Kind]) -> Sequence[Sequence[Any]]:
    """Turn stored rows into rows of plain values."""
    if not rows or not _STORED.keys() & set(kinds):
        return rows
    columns = [_decoded(values, kind) for values, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
    return list(zip(*columns, strict=True))


def _decoded(values: Sequence[Any], kind: Kind) -> Iterable[Any]:
    meaning = _STORED.get(kind)
    return values if meaning is None else map(meaning.get, values, values)
