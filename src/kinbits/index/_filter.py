"""Filters on metadata as a tree of comparisons, and how they are read from Python values.

A filter is read twice. `parse_where` reads what a user writes. `kinbits.index._filter_types.bind` then reads each
value by the type of its column. `docs/filters.md` describes the language.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinbits._errors import UsageError, unknown_name
from kinbits._words import shortened

Where = Mapping[str, Any] | str | Sequence[str]

OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "in", "not in", "contains")
MISSING = "is missing"
KEYWORDS = ("and", "or", "not", "in", "contains", "is")
EXAMPLE = "write e.g. year >= 2020 and (colour = red or label in (cat, 'dog, wolf'))"
_MOST = 500  # comparisons; SQLite refuses deeper expressions than 1000


@dataclass(frozen=True)
class Word:
    """A value without quotes: the type of its column decides whether it is text, a number, or true or false."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Comparison:
    """One comparison of a column with a value.

    Attributes:
        column: Name of the metadata column.
        operator: One of `OPERATORS`, or `MISSING`.
        value: A `Word`, number, str or bool; a tuple of these for ``in`` and ``not in``; None for `MISSING`.
    """

    column: str
    operator: str
    value: Any = None

    def __str__(self) -> str:
        column = self.column if _is_name(self.column) else f'"{_doubled(self.column, chr(34))}"'
        if self.operator == MISSING:
            return f"{column} {MISSING}"
        if isinstance(self.value, tuple):
            return f"{column} {self.operator} ({', '.join(map(_shown, self.value))})"
        return f"{column} {self.operator} {_shown(self.value)}"


@dataclass(frozen=True)
class Not:
    """Exactly the items that do not meet a part."""

    part: Expression

    def __str__(self) -> str:
        return f"not {_grouped(self.part)}"


@dataclass(frozen=True)
class And:
    """The items that meet every part."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " and ".join(map(_grouped, self.parts))


@dataclass(frozen=True)
class Or:
    """The items that meet some part."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " or ".join(map(_grouped, self.parts))


Expression = Comparison | Not | And | Or


def parse_where(where: Where | None) -> Expression | None:
    """Read a filter; None keeps all items.

    Args:
        where: A text ``"year >= 2020 and not label = cat"``, several texts, a dict
            ``{"label": "cat", "year": {">=": 2020, "in": [...]}}``, or None. Several texts, and several entries of a
            dict, must all hold.

    Raises:
        UsageError: if it cannot be read, with an example that can.
    """
    from kinbits.index._filter_text import parse_text

    if where is None:
        return None
    if isinstance(where, str):
        parts = [parse_text(where)]
    elif isinstance(where, Mapping):
        parts = [part for column, value in where.items() for part in _from_dict(str(column), value)]
    elif isinstance(where, Sequence) and all(isinstance(text, str) for text in where):
        parts = [parse_text(text) for text in where]
    else:
        raise UsageError(f"where={where!r} cannot be read as a filter; {EXAMPLE}, or give a dict")
    expression = all_of(parts)
    if expression is not None and sum(1 for _ in comparisons(expression)) > _MOST:
        raise UsageError(f"the filter has more than {_MOST} comparisons; use 'in' with a list of values")
    return expression


def all_of(parts: Sequence[Expression]) -> Expression | None:
    """Join parts that must all hold; None if there are none."""
    return parts[0] if len(parts) == 1 else And(tuple(parts)) if parts else None


def comparisons(expression: Expression) -> Iterator[Comparison]:
    """Yield all comparisons of a filter."""
    if isinstance(expression, Comparison):
        yield expression
        return
    for part in (expression.part,) if isinstance(expression, Not) else expression.parts:
        yield from comparisons(part)


def null_meets(expression: Expression) -> bool:
    """Tell whether an item without any metadata meets a filter."""
    if isinstance(expression, Comparison):
        return expression.operator in (MISSING, "!=", "not in")
    if isinstance(expression, Not):
        return not null_meets(expression.part)
    return (all if isinstance(expression, And) else any)(map(null_meets, expression.parts))


def plain(value: Any) -> Any:
    """Reduce a value to what a column holds: int, float, bool, str or None; NaN becomes None.

    Raises:
        UsageError: for any other type, and for what cannot be stored.
    """
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, str) and _is_unicode(value):
        return str.__str__(value)
    raise UsageError(
        f"{shortened(repr(value), 60)} is {type(value).__name__}; metadata are finite numbers of 64 bits, text, "
        "bool or None; give it as text, or leave it out with None"
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_dict(column: str, value: Any) -> list[Expression]:
    if isinstance(value, Mapping):
        return [_condition(column, str(operator), operand) for operator, operand in value.items()]
    return [_condition(column, "=", value)]


def _condition(column: str, operator: str, value: Any) -> Expression:
    operator = "=" if operator == "==" else operator
    if operator not in OPERATORS:
        raise unknown_name("operator", operator, OPERATORS)
    if operator in ("in", "not in"):
        return _among(column, operator, value)
    if operator == "contains" and not isinstance(value, str):
        raise UsageError(f"'contains' looks for text in column '{column}', not for {value!r}; give a str")
    given = plain(value)
    if given is not None:
        return Comparison(column, operator, given)
    if operator not in ("=", "!="):
        raise UsageError(f"'{operator}' compares column '{column}' with no value; ask for missing values with None")
    missing = Comparison(column, MISSING)
    return missing if operator == "=" else Not(missing)


def _among(column: str, operator: str, value: Any) -> Expression:
    """Read a list of values; None in it stands for a missing one."""
    if isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray, set, frozenset)):
        raise UsageError(f"'{operator}' needs a list of values, not {value!r}")
    given = [plain(one) for one in value]
    listed: Expression = Comparison(column, "in", tuple(one for one in given if one is not None))
    found = Or((listed, Comparison(column, MISSING))) if None in given else listed
    return found if operator == "in" else Not(found)


def _is_name(text: str) -> bool:
    return re.fullmatch(r"[^\W\d]\w*", text) is not None and text.lower() not in KEYWORDS


def _doubled(text: str, quote: str) -> str:
    return text.replace(quote, quote * 2)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"'{_doubled(value, chr(39))}'"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _grouped(part: Expression) -> str:
    return str(part) if isinstance(part, Comparison) else f"({part})"
