"""Type checks of values from files and callers."""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from kinbits._util.numbers import parse_float
from kinbits._util.text import shortened
from kinbits.errors import UsageError

_KINDS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("a whole number", lambda value: isinstance(value, Integral) and not isinstance(value, bool)),
    float: ("a number", lambda value: isinstance(value, Real) and not isinstance(value, bool)),
    str: ("text", lambda value: isinstance(value, str)),
    Path: ("a path", lambda value: isinstance(value, (str, os.PathLike))),
    Mapping: ("`name: value` pairs", lambda value: isinstance(value, Mapping)),
    type(None): ("none", lambda value: value is None),
}


def typed(value: Any, hint: Any, name: str) -> Any:
    """Return a value checked against a type; text becomes a float if the type is float, since YAML reads 1e-3 as text.

    Args:
        value: The given value.
        hint: A basic type, a ``Literal``, a union of these, or a tuple of one type. Other types accept every value.
        name: Name of the setting, for the error.

    Raises:
        UsageError: If the value does not have the type.

    Example:
        >>> typed("1e-3", float | None, "lr")
        0.001
    """
    if get_origin(hint) is tuple:
        return tuple(typed(one, get_args(hint)[0], name) for one in value)
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if any(_fits(value, kind) for kind in kinds):
        return value
    if float in kinds and isinstance(value, str):
        try:
            return parse_float(value)
        except ValueError:
            pass
    allowed = " or ".join(_type_name(kind) for kind in kinds if kind is not type(None) or len(kinds) == 1)
    raise UsageError(f"{name} is {shortened(repr(value), 60)}; give {allowed}")


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    known = _KINDS.get(get_origin(kind) or kind)
    return known is None or known[1](value)


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    return _KINDS[get_origin(kind) or kind][0]
