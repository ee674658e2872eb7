"""Filters as SQL.

No text of a user becomes part of a statement: columns are numbered fields, and values are parameters.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from kinbits.errors import UsageError
from kinbits.index.filters.column_types import Kind, as_stored
from kinbits.index.filters.expression import MISSING, And, Comparison, Expression, Not

Sql = tuple[str, list[Any]]
Field = Callable[[str], tuple[str, Kind]]

_MOST_PARAMETERS = 900  # SQLite before 3.32 accepts 999 in a statement
_NUMBERS: tuple[Kind, ...] = ("integer", "number", "empty")
_TEXTS: tuple[Kind, ...] = ("text", "empty")


def compiled(expression: Expression, field: Field) -> Sql:
    """Return an SQL condition and its parameters; it is true for rows that meet the filter, else false or NULL.

    Args:
        expression: Result of `kinbits.index.filters.binding.bind`.
        field: Returns the SQL and the type of a column of this table; ``NULL`` and ``empty`` for a missing column.

    Raises:
        UsageError: If there are more values than SQLite accepts.
    """
    sql, parameters = _compiled(expression, field)
    if len(parameters) > _MOST_PARAMETERS:
        raise UsageError(
            f"the filter has {len(parameters)} fractions and comparisons; the maximum is {_MOST_PARAMETERS}. Whole "
            "numbers and texts in a list do not count; use < and > for ranges of fractions"
        )
    return sql, parameters


def _compiled(expression: Expression, field: Field) -> Sql:
    if isinstance(expression, Comparison):
        return _comparison(expression, *field(expression.column))
    if isinstance(expression, Not):
        sql, parameters = _compiled(expression.part, field)
        return f"({sql}) IS NOT TRUE", parameters  # NOT would omit rows without a value
    parts = [_compiled(part, field) for part in expression.parts]
    word = " AND " if isinstance(expression, And) else " OR "
    return word.join(f"({sql})" for sql, _ in parts), [value for _, values in parts for value in values]


def _comparison(asked: Comparison, column: str, kind: Kind) -> Sql:
    if asked.operator == MISSING:
        return f"{column} IS NULL", []
    if asked.operator == "in":
        return _among(column, [as_stored(value, kind) for value in asked.value if _fits(value, kind)])
    if asked.operator == "contains":
        found, guard = f"instr({column}, ?) > 0", "" if kind in _TEXTS else f"typeof({column}) = 'text' AND "
        return guard + found, [asked.value]
    return _ordered(asked, column, kind)


def _fits(value: Any, kind: Kind) -> bool:
    """Return whether a column of this type can hold a value; in a column of booleans, 1 means true."""
    return kind == "mixed" or isinstance(value, bool) == (kind == "boolean")


def _among(column: str, values: list[Any]) -> Sql:
    if len(values) == 1:
        return f"{column} = ?", values
    through_json = [value for value in values if _survives_json(value)]
    others = [value for value in values if not _survives_json(value)]
    clauses = [f"{column} IN (SELECT value FROM json_each(?))"] if through_json else []
    clauses += [f"{column} IN ({', '.join('?' * len(others))})"] if others else []
    sent = [json.dumps(through_json, ensure_ascii=False)] if through_json else []
    return " OR ".join(clauses) or "0", [*sent, *others]


def _survives_json(value: Any) -> bool:
    """Return whether SQLite reads a value from JSON unchanged; it may round fractions, and cuts text at a NUL."""
    return "\0" not in value if isinstance(value, str) else isinstance(value, int)


def _ordered(asked: Comparison, column: str, kind: Kind) -> Sql:
    """Compare only with values of the same type; SQLite would order numbers before text, and text before bytes."""
    found = f"{column} {asked.operator} ?"
    if kind in (_TEXTS if isinstance(asked.value, str) else _NUMBERS):
        return found, [asked.value]
    if kind != "mixed":
        return "0", []
    types = "= 'text'" if isinstance(asked.value, str) else "IN ('integer', 'real')"
    return f"typeof({column}) {types} AND {found}", [asked.value]
