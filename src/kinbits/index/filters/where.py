"""Filters as users write them: texts, or Python values by column.

A filter is read in two steps. `parse_where` parses it. `kinbits.index.filters.binding.bind` then reads each value by
the type of its column. `docs/filters.md` describes the language.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kinbits._util import shortened
from kinbits.errors import UsageError, unknown_name
from kinbits.index.filters.expression import (
    EXAMPLE,
    MISSING,
    OPERATORS,
    Comparison,
    Expression,
    Not,
    Or,
    all_of,
    comparisons,
)
from kinbits.index.filters.grammar import parse_text

Where = Mapping[str, Any] | str | Sequence[str]

_MOST = 500  # comparisons; SQLite refuses expressions of more than 1000 levels


def parse_where(where: Where | None) -> Expression | None:
    """Parse a filter; None keeps all items.

    Args:
        where: A text ``"year >= 2020 and not label = cat"``, several texts, a dict
            ``{"label": "cat", "year": {">=": 2020, "in": [...]}}``, or None. Several texts, and the entries of a dict,
            must all hold.

    Raises:
        UsageError: If it is not a filter; the message has an example.
    """
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


def metadata_value(value: Any) -> Any:
    """Return a value as a column stores it: int, float, bool, str or None; NaN becomes None.

    Raises:
        UsageError: If the value has another type, or cannot be stored.
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
        raise UsageError(f"'contains' searches for text in column '{column}', not for {value!r}; give a str")
    given = metadata_value(value)
    if given is not None:
        return Comparison(column, operator, given)
    if operator not in ("=", "!="):
        raise UsageError(f"'{operator}' cannot compare column '{column}' with None; use = or != to find missing values")
    missing = Comparison(column, MISSING)
    return missing if operator == "=" else Not(missing)


def _among(column: str, operator: str, value: Any) -> Expression:
    """Read a list of values; None stands for a missing value."""
    if isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray, set, frozenset)):
        raise UsageError(f"'{operator}' needs a list of values, not {value!r}")
    given = [metadata_value(one) for one in value]
    listed: Expression = Comparison(column, "in", tuple(one for one in given if one is not None))
    found = Or((listed, Comparison(column, MISSING))) if None in given else listed
    return found if operator == "in" else Not(found)
