"""Filters on metadata as a tree of comparisons."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "in", "not in", "contains")
MISSING = "is missing"
KEYWORDS = ("and", "or", "not", "in", "contains", "is")
EXAMPLE = "write e.g. year >= 2020 and (colour = red or label in (cat, 'dog, wolf'))"


@dataclass(frozen=True)
class Word:
    """A value without quotes; the type of its column decides whether it is a text, a number or a boolean."""

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
    """All items that do not meet a part."""

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
    """The items that meet at least one part."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " or ".join(map(_grouped, self.parts))


Expression = Comparison | Not | And | Or


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
    """Return whether an item without metadata meets a filter."""
    if isinstance(expression, Comparison):
        return expression.operator in (MISSING, "!=", "not in")
    if isinstance(expression, Not):
        return not null_meets(expression.part)
    return (all if isinstance(expression, And) else any)(map(null_meets, expression.parts))


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
