"""Filters as Milvus expressions. Values and names are quoted here and nowhere else.

Milvus 2.3 and Milvus Lite know no parameters, so text becomes a literal; the quoting was tried on both with
quotes, backslashes and every kind of white space. Numbers and text do not compare with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kinbits._errors import UsageError
from kinbits.index._filter import Condition

_BREAKS = {"\n": "\\n", "\r": "\\r"}
_COMPARISONS = {"=": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


class Expressions:
    """Writes expressions for a server, or for Milvus Lite, which knows less."""

    def __init__(self, *, lite: bool) -> None:
        self._lite = lite

    def conditions(self, conditions: Sequence[Condition]) -> str:
        """Return what holds for items that meet all conditions; empty for none.

        Raises:
            UsageError: for what Milvus cannot be asked.
        """
        return join(*(self._one(condition) for condition in conditions))

    def ids(self, ids: Sequence[int | str]) -> str:
        """Return what holds for items of these ids."""
        return f"id in [{', '.join(map(self.literal, ids))}]"

    def ids_below(self, bound: int | str) -> str:
        """Return what holds for items whose id comes before another."""
        return f"id < {self.literal(bound)}"

    def present(self, column: str) -> str:
        """Return what holds for items that have a value in a column."""
        name = self._column(column)
        return f'({name} >= "" or {name} >= 0 or {name} < 0)'

    def literal(self, value: Any) -> str:
        """Quote a value.

        Raises:
            UsageError: for line breaks, which Milvus Lite cannot read in any form.
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
        # Milvus reads a minus sign apart from the digits, so the smallest integer overflows
        return repr(float(value)) if value == -(2**63) else repr(value)

    def _column(self, column: str) -> str:
        return f"$meta[{self.literal(column)}]"

    def _one(self, condition: Condition) -> str:
        if condition.operator in ("in", "not in"):
            return self._among(condition.column, condition.value, negated=condition.operator == "not in")
        if condition.operator not in _COMPARISONS:
            raise UsageError(
                f"Milvus compares values and does not look inside them: '{condition.operator}' on "
                f"'{condition.column}' is not supported; use =, !=, <, >, in or not in, or an exact index"
            )
        name = self._column(condition.column)
        if condition.value is not None:
            return f"{name} {_COMPARISONS[condition.operator]} {self.literal(condition.value)}"
        if condition.operator == "=":
            return self._absent(condition.column)
        return self.present(condition.column) if condition.operator == "!=" else _never(name)

    def _among(self, column: str, values: Sequence[Any], *, negated: bool) -> str:
        """Compare with lists of one type each, since Milvus refuses mixed ones."""
        name, none = self._column(column), None in values
        lists = [[value for value in values if type(value) is kind] for kind in (int, float, str)]
        listed = [", ".join(map(self.literal, part)) for part in lists if part]
        if negated:
            clauses = [f"{name} not in [{part}]" for part in listed]
            return join(*clauses, self.present(column) if none else "")
        clauses = [f"{name} in [{part}]" for part in listed] + ([self._absent(column)] if none else [])
        return f"({' or '.join(clauses)})" if clauses else _never(name)

    def _absent(self, column: str) -> str:
        if self._lite:
            raise UsageError(
                f"Milvus Lite cannot ask for items without '{column}'; use a Milvus server, or store a value for them"
            )
        return f"not {self.present(column)}"


def join(*expressions: str) -> str:
    """Return what holds where all expressions do; an empty one always holds."""
    return " and ".join(f"({expression})" for expression in expressions if expression)


def _never(name: str) -> str:
    return f"({name} == 0 and {name} == 1)"
