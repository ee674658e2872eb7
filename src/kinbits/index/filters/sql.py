"""Filters as SQL.

Nothing that a user wrote gets into a statement: columns are fields of ours, and values are parameters.
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

_MOST_PARAMETERS = 900  # SQLite before 3.32 takes 999 in one statement
_NUMBERS: tuple[Kind, ...] = ("integer", "number", "bit", "empty")
_TEXTS: tuple[Kind, ...] = ("text", "empty")


def compiled(expression: Expression, field: Field) -> Sql:
    """Return a condition that is true for the rows that meet a filter, and its parameters.

    It is false or NULL for all other rows.

    Args:
        expression: What `kinbits.index.filters.binding.bind` returned.
        field: Gives the SQL of a column and the type of what this table holds there; ``NULL`` and ``empty`` if it does
            not have the column.

    Raises:
        UsageError: for more values than SQLite takes.
    """
    sql, parameters = _compiled(expression, field)
    if len(parameters) > _MOST_PARAMETERS:
        raise UsageError(
            f"the filter holds {len(parameters)} fractions and comparisons, the most are {_MOST_PARAMETERS}; whole "
            "numbers and texts in a list do not count: use < and > for ranges of fractions"
        )
    return sql, parameters


def _compiled(expression: Expression, field: Field) -> Sql:
    if isinstance(expression, Comparison):
        return _comparison(expression, *field(expression.column))
    if isinstance(expression, Not):
        sql, parameters = _compiled(expression.part, field)
        return f"({sql}) IS NOT TRUE", parameters  # NOT would leave out the rows without a value
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
    """Whether a value could be in a column of this type: in one of booleans, 1 stands for true."""
    return kind in ("mixed", "bit") or isinstance(value, bool) == (kind == "boolean")


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
    """Whether SQLite reads a value from JSON as it was: it may round fractions, and cuts text at a NUL."""
    return "\0" not in value if isinstance(value, str) else isinstance(value, int)


def _ordered(asked: Comparison, column: str, kind: Kind) -> Sql:
    """Compare with values of the same type alone: SQLite would order numbers before text, and text before bytes."""
    found = f"{column} {asked.operator} ?"
    if kind in (_TEXTS if isinstance(asked.value, str) else _NUMBERS):
        return found, [asked.value]
    if kind != "mixed":
        return "0", []
    types = "= 'text'" if isinstance(asked.value, str) else "IN ('integer', 'real')"
    return f"typeof({column}) {types} AND {found}", [asked.value]
