"""Filters as conditions of PostgreSQL.

A condition has the meaning of `docs/filters.md`: numbers compare exactly, text by Unicode, and items without a value
meet ``not``. Values that a column cannot hold never reach the server.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from kinbits.index.engines.postgres_sql import Sql, join, name, value, write
from kinbits.index.filters.column_types import Kind
from kinbits.index.filters.expression import MISSING, And, Comparison, Expression, Not


def condition(where: Expression | None, kinds: Mapping[str, Kind]) -> Sql:
    """Return a condition that is true for items that meet a bound filter, else false or NULL; true without a filter.

    Args:
        where: Result of `kinbits.index.filters.bind`.
        kinds: Types of the columns.
    """
    if where is None:
        return write("TRUE")
    if isinstance(where, Comparison):
        return _comparison(where, kinds[where.column])
    if isinstance(where, Not):
        return write("({}) IS NOT TRUE", condition(where.part, kinds))
    parts = [write("({})", condition(part, kinds)) for part in where.parts]
    return join(" AND ", parts) if isinstance(where, And) else join(" OR ", parts)


def _comparison(asked: Comparison, kind: Kind) -> Sql:
    column = name(asked.column)
    if asked.operator == MISSING:
        return write("{} IS NULL", column)
    if asked.operator == "in":
        return _among(column, [one for one in asked.value if _fits(one, kind)], kind)
    if asked.operator == "contains":
        return write("FALSE") if "\0" in asked.value else write("strpos({}, {}::text) > 0", column, value(asked.value))
    return _ordered(column, asked.operator, asked.value, kind)


def _fits(given: Any, kind: Kind) -> bool:
    """Return whether a column of this type can hold exactly this value."""
    if kind == "text":
        return isinstance(given, str) and "\0" not in given
    if kind == "boolean" or isinstance(given, (bool, str)):
        return kind == "boolean" and isinstance(given, bool)
    return bool(_floor(given, kind) == given) and (kind == "number" or -(2**63) <= given < 2**63)


def _among(column: Sql, values: Sequence[Any], kind: Kind) -> Sql:
    if not values:
        return write("FALSE")
    if kind == "text":
        return write("{} = ANY({}::text[])", column, value(list(values)))
    if kind == "boolean":
        return write("{} = ANY({}::boolean[])", column, value(list(values)))
    if kind == "integer":
        return write("{} = ANY({}::bigint[])", column, value(list(map(int, values))))
    return write("{} = ANY({}::double precision[])", column, value(list(map(float, values))))


def _ordered(column: Sql, operator: str, bound: Any, kind: Kind) -> Sql:
    """Compare with a bound; the next smaller value that a column can hold stands for one that it cannot."""
    held = bound.partition("\0")[0] if kind == "text" else _floor(bound, kind)
    if held != bound:
        operator = operator[0] + "=" if operator[0] == "<" else ">"
    if kind == "text":
        return write('{} COLLATE "C" {} {}::text', column, _sign(operator), value(held))
    if kind == "integer":
        return write("{} {} {}", column, _sign(operator), value(int(held)))  # numeric beyond 64 bits
    return write("{} {} {}::double precision", column, _sign(operator), value(float(held)))


def _sign(operator: str) -> Sql:
    return {"<": write("<"), "<=": write("<="), ">": write(">"), ">=": write(">=")}[operator]


def _floor(given: float, kind: Kind) -> float:
    """Return the largest number up to a given one that a column of this type can hold."""
    if kind == "integer":
        return math.floor(given)
    nearest = float(given)
    return nearest if nearest <= given else math.nextafter(nearest, -math.inf)
