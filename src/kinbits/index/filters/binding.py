"""Reading of filter values by the types of their columns; values that cannot be compared are refused."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from kinbits.errors import UsageError, unknown_name
from kinbits.index.filters.column_types import Kind
from kinbits.index.filters.expression import MISSING, And, Comparison, Expression, Not, Or, Word

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_FLAGS = {"true": True, "false": False}
_ORDER = ("<", "<=", ">", ">=")
_HOLDS = {
    "text": "text",
    "integer": "whole numbers",
    "number": "numbers",
    "boolean": "true and false",
}


def bind(expression: Expression, kinds: Mapping[str, Kind]) -> Expression:
    """Read each value of a filter by the type of its column.

    Args:
        expression: Result of `kinbits.index.filters.where.parse_where`.
        kinds: Types of the columns of the index.

    Returns:
        The same filter with values of the types of their columns, and with fewer operators: ``in`` with a tuple of
        values, ``<``, ``<=``, ``>``, ``>=``, ``contains`` and `MISSING`.

    Raises:
        UsageError: If a column does not exist, or cannot be compared with its value.
    """
    if isinstance(expression, Not):
        return Not(bind(expression.part, kinds))
    if isinstance(expression, (And, Or)):
        return type(expression)(tuple(bind(part, kinds) for part in expression.parts))
    return _comparison(expression, _kind(expression.column, kinds))


def _kind(column: str, kinds: Mapping[str, Kind]) -> Kind:
    if not kinds:
        raise UsageError(f"filter on '{column}', but this index holds no metadata")
    if column not in kinds:
        raise unknown_name("column", column, kinds)
    return kinds[column]


def _comparison(asked: Comparison, kind: Kind) -> Expression:
    if asked.operator == MISSING:
        return asked
    if asked.operator == "contains":
        return Comparison(asked.column, "contains", _text_inside(asked, kind))
    if asked.operator in _ORDER:
        return Comparison(asked.column, asked.operator, _bound_of(asked, kind))
    values = asked.value if asked.operator in ("in", "not in") else (asked.value,)
    found = Comparison(asked.column, "in", tuple(one for value in values for one in _meanings(asked, value, kind)))
    return Not(found) if asked.operator in ("!=", "not in") else found


def _text_inside(asked: Comparison, kind: Kind) -> str:
    if kind not in ("text", "mixed", "empty"):
        raise _refused(asked, kind, "'contains' searches in text; compare with =, < or >")
    return asked.value.text if isinstance(asked.value, Word) else str(asked.value)


def _bound_of(asked: Comparison, kind: Kind) -> Any:
    """Return the bound of a comparison by order."""
    if kind == "boolean":
        raise _refused(asked, kind, f"write {asked.column} = true or {asked.column} = false")
    if kind == "text" and (not isinstance(asked.value, (str, Word)) or _is_number(asked.value)):
        quoted = str(asked.value)
        raise _refused(
            asked, kind, f"texts are ordered by letters, so 10 comes before 9; write '{quoted}' in quotes for "
            "this order, or store the column as numbers",
        )  # fmt: skip
    value = _meanings(asked, asked.value, kind)[0]
    if isinstance(value, bool):
        raise _refused(asked, kind, "true and false have no order; compare them with =")
    return value


def _meanings(asked: Comparison, value: Any, kind: Kind) -> list[Any]:
    """Read a value by the type of its column; only in a mixed column it has several meanings."""
    if kind == "text":
        return [_as_text(asked, value)]
    if kind in ("integer", "number"):
        return [_as_number(asked, value, kind)]
    if kind == "boolean":
        return [_as_flag(asked, value)]
    if not isinstance(value, Word):
        return [value]
    special = _FLAGS.get(value.text.lower(), number(value.text))
    return [value.text] if special is None else [special, value.text]


def _as_text(asked: Comparison, value: Any) -> str:
    if isinstance(value, (Word, str)):
        return str(value)
    raise _refused(asked, "text", f"pass a str: {str(value)!r}")


def _as_number(asked: Comparison, value: Any, kind: Kind) -> int | float:
    found = number(value.text) if isinstance(value, Word) else value
    if found is None or isinstance(found, (bool, str)):
        raise _refused(
            asked, kind, "write a finite number of 64 bits without quotes, e.g. 3 or 2.5e3; for items without a value "
            f"write {asked.column} is missing",
        )  # fmt: skip
    return found


def _as_flag(asked: Comparison, value: Any) -> bool:
    found = _FLAGS.get(value.text.lower()) if isinstance(value, Word) else value
    if not isinstance(found, bool):
        raise _refused(asked, "boolean", f"write {asked.column} = true or {asked.column} = false")
    return found


def number(text: str) -> int | float | None:
    """Read a number with digits 0 to 9; None if the text is not a finite number of 64 bits."""
    if _WHOLE.fullmatch(text):
        whole = int(text)
        return whole if -(2**63) <= whole < 2**63 else None
    if not _NUMBER.fullmatch(text) or text.lstrip("+-").isdigit():  # a longer whole number exceeds 64 bits
        return None
    fraction = float(text)
    return fraction if math.isfinite(fraction) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, Word) and _NUMBER.fullmatch(value.text) is not None


def _refused(asked: Comparison, kind: Kind, remedy: str) -> UsageError:
    return UsageError(f"{asked}: column '{asked.column}' holds {_HOLDS.get(kind, 'values of several types')}; {remedy}")
