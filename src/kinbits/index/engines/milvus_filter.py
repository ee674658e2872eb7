"""Filters as Milvus expressions. Values and names are quoted only here.

Milvus 2.3 and Milvus Lite have no parameters, so text becomes a literal. The quoting was tested on both with quotes,
backslashes and all kinds of white space. Numbers and text cannot be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kinbits.errors import UsageError
from kinbits.index.filters.column_types import Kind
from kinbits.index.filters.expression import MISSING, And, Comparison, Expression, Not

_BREAKS = {"\n": "\\n", "\r": "\\r"}
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


class FilterWriter:
    """Writes expressions for a server, or for Milvus Lite, which supports fewer."""

    def __init__(self, *, lite: bool) -> None:
        self._lite = lite

    def filter(self, where: Expression | None) -> str:
        """Return an expression for items that meet a bound filter; empty for all items.

        Raises:
            UsageError: If Milvus cannot express the filter.
        """
        return "" if where is None else self._one(where, negated=False)

    def ids(self, ids: Sequence[int | str]) -> str:
        """Return an expression for items with these ids."""
        return f"id in [{', '.join(map(self.literal, ids))}]"

    def ids_below(self, bound: int | str) -> str:
        """Return an expression for items whose id comes before ``bound``."""
        return f"id < {self.literal(bound)}"

    def ids_above(self, bound: int | str) -> str:
        """Return an expression for items whose id comes after ``bound``."""
        return f"id > {self.literal(bound)}"

    def present(self, column: str) -> str:
        """Return an expression for items with a value in a column."""
        return f"({' or '.join(self.types(column).values())})"

    def types(self, column: str) -> dict[Kind, str]:
        """Return expressions for items with a value of a type in a column, by type."""
        name = self._column(column)
        return {
            "text": f'{name} >= ""',
            "number": f"{name} >= 0 or {name} < 0",
            "boolean": f"{name} == true or {name} == false",
        }

    def literal(self, value: Any) -> str:
        """Quote a value.

        Raises:
            UsageError: If a text has a line break, and Milvus Lite cannot read it.
        """
        if isinstance(value, str):
            text = value.replace("\\", "\\\\").replace('"', '\\"')
            for plain, escaped in _BREAKS.items():
                if plain in text and self._lite:
                    raise UsageError(
                        f"{value!r}: Milvus Lite cannot compare text with line breaks; use a Milvus server"
                    )
                text = text.replace(plain, escaped)
            return f'"{text}"'
        if isinstance(value, bool):
            return repr(value).lower()
        # Milvus reads a minus sign apart from the digits, so the smallest integer overflows
        return repr(float(value)) if value == -(2**63) else repr(value)

    def _column(self, column: str) -> str:
        return f"$meta[{self.literal(column)}]"

    def _one(self, where: Expression, *, negated: bool) -> str:
        """Write a filter or its negation; "not" moves inwards, because Milvus Lite lacks it."""
        if isinstance(where, Not):
            return self._one(where.part, negated=not negated)
        if isinstance(where, Comparison):
            return self._comparison(where, negated=negated)
        parts = [self._one(part, negated=negated) for part in where.parts]
        if isinstance(where, And) != negated:
            return join(*parts)
        return " or ".join(f"({part})" for part in parts) if all(parts) else ""

    def _comparison(self, asked: Comparison, *, negated: bool) -> str:
        if asked.operator == "in":
            return self._among(asked.column, asked.value, negated=negated)
        if asked.operator == MISSING:
            return self.present(asked.column) if negated else self._absent(asked.column)
        if asked.operator == "contains":
            raise UsageError(
                f"Milvus does not support 'contains' on '{asked.column}'; "
                "use =, !=, <, >, in or not in, or an exact index"
            )
        ordered = f"{self._column(asked.column)} {asked.operator} {self.literal(asked.value)}"
        if negated and self._lite:
            raise UsageError(
                f"Milvus Lite does not support 'not {asked}'; write {asked.column} {_OPPOSITE[asked.operator]} "
                f"{asked.value}, which omits items without a value, or use a Milvus server"
            )
        return f"not ({ordered})" if negated else ordered

    def _among(self, column: str, values: Sequence[Any], *, negated: bool) -> str:
        """Compare with one list per type, because Milvus refuses mixed lists."""
        name = self._column(column)
        if len(values) == 1:
            return f"{name} {'!=' if negated else '=='} {self.literal(values[0])}"
        lists = [[value for value in values if type(value) is kind] for kind in (bool, int, float, str)]
        listed = [", ".join(map(self.literal, part)) for part in lists if part]
        if negated:
            return join(*(f"{name} not in [{part}]" for part in listed))
        return " or ".join(f"{name} in [{part}]" for part in listed) or _never(name)

    def _absent(self, column: str) -> str:
        if self._lite:
            raise UsageError(
                f"Milvus Lite cannot find items without '{column}'; use a Milvus server, or store a value for them"
            )
        return f"not {self.present(column)}"


def join(*expressions: str) -> str:
    """Join expressions with "and"; empty ones are left out."""
    return " and ".join(f"({expression})" for expression in expressions if expression)


def _never(name: str) -> str:
    return f"({name} == 0 and {name} == 1)"
