"""Checks of metadata columns: whole columns at a time where their type allows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import filterfalse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits.data import RESERVED
from kinbits.errors import DataError, UsageError
from kinbits.index.filters.where import metadata_value

_MOST_COLUMNS = 1000  # SQLite could hold 2000


def as_columns(given: Mapping[str, Sequence[Any]], rows: int) -> dict[str, list[Any]]:
    """Check metadata columns of ``rows`` values each; NaN becomes None.

    Raises:
        DataError: If a column has another length or shape.
        UsageError: If a name is reserved, there are too many columns, or a value has a type that cannot be stored.
    """
    if not isinstance(given, Mapping):
        raise DataError(f"metadata are {type(given).__name__}; give a dict of columns, one value per item in each")
    require_few(len(given))
    return {_name(name): _column(str(name), values, rows) for name, values in given.items()}


def require_few(columns: int) -> None:
    """Refuse more columns than can be stored."""
    if columns > _MOST_COLUMNS:
        raise UsageError(f"{columns} metadata columns are too many; the maximum is {_MOST_COLUMNS}")


def _name(name: Any) -> str:
    text = str(name)
    if not text.strip():
        raise UsageError("a metadata column has no name, so no filter could use it; name it, or leave it out")
    if text in RESERVED:
        raise UsageError(f"hits have a column '{text}' of their own; rename this metadata column")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"metadata column {text!r} is not valid Unicode text; rename it") from None
    return text


def _column(name: str, values: Any, rows: int) -> list[Any]:
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__iter__"):
        raise DataError(f"metadata column '{name}' is {type(values).__name__}; give one value per item")
    if getattr(values, "ndim", 1) != 1:
        raise DataError(f"metadata column '{name}' has the shape {values.shape}; give one value per item")
    values = values if isinstance(values, np.ndarray) else list(values)
    if len(values) != rows:
        raise DataError(f"metadata column '{name}' has {len(values)} values for {rows} items")
    listed = _from_array(values) if isinstance(values, np.ndarray) else values
    return listed if _is_checked(listed) else [_checked(name, row, value) for row, value in enumerate(listed)]


def _checked(name: str, row: int, value: Any) -> Any:
    try:
        return metadata_value(value)
    except UsageError as error:
        raise UsageError(f"metadata column '{name}', row {row}: {error}") from None


def _from_array(values: NDArray[Any]) -> list[Any]:
    if values.dtype.kind == "f":
        as_doubles = values.astype(np.float64)
        missing = np.isnan(as_doubles)
        if missing.any():
            as_objects = as_doubles.astype(object)
            as_objects[missing] = None
            return list(as_objects.tolist())
        return list(as_doubles.tolist())
    return list(values) if values.dtype.kind in "mMV" else list(values.tolist())


def _is_checked(values: list[Any]) -> bool:
    """Return True if `metadata_value` would change no value; False if each value must be checked."""
    kinds = set(map(type, values))
    present = filterfalse(lambda value: value is None, values) if type(None) in kinds else values
    kinds.discard(type(None))
    if kinds == {str}:
        try:
            "".join(present).encode()
        except UnicodeEncodeError:
            return False
        return True
    if kinds == {int}:
        listed = list(present)
        return bool(min(listed) >= -(2**63) and max(listed) < 2**63)
    if kinds == {float}:
        return all(map(math.isfinite, present))
    return kinds <= {bool}
