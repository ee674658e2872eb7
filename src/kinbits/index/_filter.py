"""The one parser of filters on metadata, and their translation to SQL.

No text of the user gets into a statement: operators come from a table here, columns are known by their
number, and values are parameters.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinbits._errors import UsageError, unknown_name

Where = Mapping[str, Any] | str | Sequence[str]

_SQL = {
    "=": "{column} IS ?",
    "!=": "{column} IS NOT ?",
    "<": "{column} < ?",
    "<=": "{column} <= ?",
    ">": "{column} > ?",
    ">=": "{column} >= ?",
    "in": "{column} IN (SELECT value FROM json_each(?) WHERE value IS NOT NULL)",
    "not in": "",  # made from "in"
    "contains": "instr({column}, ?) > 0",
}
_TEXT = re.compile(r"\s*(.+?)\s*(>=|<=|!=|==|=|>|<|\s(?:not\s+in|in|contains)\s)\s*(.*?)\s*")
_FORM = 'write e.g. "year>=2020", "label=cat", "label in cat,dog", or a dict {"year": {">=": 2020}}'


@dataclass(frozen=True)
class Condition:
    """One comparison of a column with a value; several are joined by "and".

    Attributes:
        column: Name of the metadata column.
        operator: A key of the operator table.
        value: A number, str, bool or None; a list of these for ``in`` and ``not in``.
    """

    column: str
    operator: str
    value: Any

    def sql(self, column: str) -> tuple[str, Any]:
        """Return the comparison for an SQL column and its one parameter.

        An item without a value differs from every value: it meets ``!=`` and ``not in``, and no ``<``.
        """
        if self.operator not in ("in", "not in"):
            return _SQL[self.operator].format(column=column), self.value
        found, empty = _SQL["in"].format(column=column), f"{column} IS NULL"
        sought = None in self.value  # NULL compares with nothing, so it is asked for apart
        if self.operator == "in":
            clause = f"({found} OR {empty})" if sought else found
        else:
            clause = f"NOT {found}" if sought else f"({empty} OR NOT {found})"
        return clause, json.dumps(self.value)


def parse_where(where: Where | None) -> list[Condition]:
    """Read a filter; all of its conditions must hold.

    Args:
        where: A dict ``{"label": "cat", "year": {">=": 2020, "in": [...]}}``, a string ``"year>=2020"``,
            several strings, or None for no filter.

    Raises:
        UsageError: if it cannot be read, with an example that can.
    """
    if where is None:
        return []
    if isinstance(where, str):
        return [_from_text(where)]
    if isinstance(where, Mapping):
        return [condition for column, value in where.items() for condition in _from_dict(str(column), value)]
    if isinstance(where, Sequence) and all(isinstance(text, str) for text in where):
        return [_from_text(text) for text in where]
    raise UsageError(f"where={where!r} cannot be read; {_FORM}")


def require_columns(conditions: Sequence[Condition], known: Sequence[str]) -> None:
    """Refuse a filter on a column that the index does not have."""
    for condition in conditions:
        if condition.column not in known:
            if not known:
                raise UsageError(f"filter on '{condition.column}', but this index holds no metadata")
            raise unknown_name("column", condition.column, known)


def plain(value: Any) -> Any:
    """Reduce a value to what SQLite stores: int, float, str or None; NaN becomes None.

    Raises:
        UsageError: for any other type, and for what cannot be stored.
    """
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (bool, int)) and -(2**63) <= value < 2**63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str) and _is_unicode(value):
        return value
    raise UsageError(
        f"{value!r} is {type(value).__name__}; metadata are finite numbers of 64 bits, Unicode text, bool or None"
    )


def null_meets(conditions: Sequence[Condition]) -> bool:
    """Whether an item without any metadata meets all conditions."""
    compiled = [condition.sql("NULL") for condition in conditions]
    with closing(sqlite3.connect(":memory:")) as connection:
        statement = f"SELECT {' AND '.join(sql for sql, _ in compiled)}"
        return bool(connection.execute(statement, [value for _, value in compiled]).fetchone()[0])


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_dict(column: str, value: Any) -> list[Condition]:
    if isinstance(value, Mapping):
        return [_condition(column, str(operator), operand) for operator, operand in value.items()]
    return [_condition(column, "=", value)]


def _condition(column: str, operator: str, value: Any) -> Condition:
    operator = "=" if operator == "==" else operator
    if operator not in _SQL:
        raise unknown_name("operator", operator, _SQL)
    if operator in ("in", "not in"):
        if isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray, set, frozenset)):
            raise UsageError(f"'{operator}' needs a list of values, not {value!r}")
        return Condition(column, operator, [plain(one) for one in value])
    if operator == "contains" and not isinstance(value, str):
        raise UsageError(f"'contains' looks for text, not for {value!r}")
    return Condition(column, operator, plain(value))


def _from_text(text: str) -> Condition:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise UsageError(f"filter '{text}' cannot be read; {_FORM}")
    column, operator, literal = match.groups()
    return _READ.get(" ".join(operator.split()), _read_comparison)(column, " ".join(operator.split()), literal)


def _read_equality(column: str, operator: str, literal: str) -> Condition:
    meanings = _meanings(literal)
    if len(meanings) == 1:
        return _condition(column, operator, meanings[0])
    return Condition(column, "not in" if operator == "!=" else "in", meanings)


def _read_list(column: str, operator: str, literal: str) -> Condition:
    values = literal.strip("()[]").split(",")
    return Condition(column, operator, [meaning for value in values for meaning in _meanings(value.strip())])


def _read_comparison(column: str, operator: str, literal: str) -> Condition:
    return _condition(column, operator, _meanings(literal)[0])


def _read_contains(column: str, operator: str, literal: str) -> Condition:
    return Condition(column, operator, _meanings(literal)[-1])


_READ: dict[str, Callable[[str, str, str], Condition]] = {
    "=": _read_equality,
    "==": _read_equality,
    "!=": _read_equality,
    "in": _read_list,
    "not in": _read_list,
    "contains": _read_contains,
}


def _meanings(literal: str) -> list[Any]:
    """Read a literal; without quotes a number may also be text, so that ``label=7`` finds a class "7"."""
    if len(literal) >= 2 and literal[0] == literal[-1] and literal[0] in "'\"":
        return [literal[1:-1]]
    words = {"null": None, "none": None, "true": 1, "false": 0}
    if literal.lower() in words:
        return [words[literal.lower()]]
    for number in (int, float):
        try:
            return [number(literal), literal]
        except ValueError:
            continue
    return [literal]
