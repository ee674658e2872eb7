"""Type checks of values from files and callers."""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from kinbits._util.numbers import parse_float
from kinbits._util.text import shortened
from kinbits.errors import UsageError, unknown_name

_KINDS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("a whole number", lambda value: isinstance(value, Integral) and not isinstance(value, bool)),
    float: ("a number", lambda value: isinstance(value, Real) and not isinstance(value, bool)),
    str: ("text", lambda value: isinstance(value, str)),
    Path: ("a path", lambda value: isinstance(value, (str, os.PathLike))),
    Mapping: (
        "`name: value` pairs",
        lambda value: isinstance(value, Mapping) and all(isinstance(k, str) for k in value),
    ),
    type(None): ("none", lambda value: value is None),
}
_MADE: dict[Any, Callable[[Any], Any]] = {
    int: int,
    float: lambda value: value if isinstance(value, int) else float(value),
    Path: Path,
    Mapping: lambda value: {name: _plain(one) for name, one in value.items()},
}


def checked(value: Any, hint: Any, name: str) -> Any:
    """Return a value checked against a type: scalars of NumPy become Python's own, and a path becomes a `Path`.

    Args:
        value: The given value.
        hint: A basic type, a class, a ``Literal``, a union of these, or a tuple of one type. Other types accept every
            value.
        name: Name of the setting, for the error.

    Raises:
        UsageError: If the value does not have the type.

    Example:
        >>> checked("runs", Path | None, "checkpoints").name
        'runs'
    """
    if get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            raise UsageError(f"{name} is {shortened(repr(value), 60)}; give a list")
        return tuple(checked(one, get_args(hint)[0], name) for one in value)
    value, kinds = _plain(value), _kinds(hint)
    for kind in kinds:
        if _fits(value, kind):
            return _MADE.get(get_origin(kind) or kind, lambda same: same)(value)
    allowed = " or ".join(_type_name(kind) for kind in kinds if kind is not type(None) or len(kinds) == 1)
    raise UsageError(f"{name} is {shortened(repr(value), 60)}; give {allowed}")


def checked_parameters(
    function: Callable[..., Any], given: Mapping[str, Any], known: Collection[str], owner: str
) -> dict[str, Any]:
    """Return parameters that have one of the known names, checked as `checked_arguments` does.

    Args:
        function: The function that takes them.
        given: Parameters by name.
        known: Names of all parameters.
        owner: Whose they are, such as ``"method 'csq'"``.

    Raises:
        UsageError: If a name is unknown, or a value does not have its type.
    """
    for name in given:
        if name not in known:
            raise unknown_name("parameter", name, known or ["(it has none)"], place=f"of {owner}")
    return checked_arguments(function, given)


def checked_arguments(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return keyword arguments checked against the annotations of a function, as `checked` does.

    Args:
        function: The function; an annotation that cannot be resolved accepts every value, and so do all others then.
        given: Arguments by name.

    Raises:
        UsageError: If a value does not have its type.
    """
    try:
        hints = get_type_hints(function)
    except NameError:  # somebody's own method, with names that are imported for type checkers only
        hints = {}
    return {name: checked(value, hints.get(name, Any), name) for name, value in given.items()}


def typed(value: Any, hint: Any, name: str) -> Any:
    """Check a value from a file as `checked` does; text becomes a float where one is allowed (YAML: 1e-3).

    Args:
        value: The value in the file.
        hint: As for `checked`.
        name: Name of the setting, for the error.

    Raises:
        UsageError: If the value does not have the type.

    Example:
        >>> typed("1e-3", float | None, "lr")
        0.001
    """
    if get_origin(hint) is tuple and isinstance(value, (list, tuple)):
        return tuple(typed(one, get_args(hint)[0], name) for one in value)
    kinds = _kinds(hint)
    if float in kinds and isinstance(value, str) and not any(_fits(value, kind) for kind in kinds):
        with suppress(ValueError):
            value = parse_float(value)
    return checked(value, hint, name)


def _kinds(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _plain(value: Any) -> Any:
    """Return a scalar of NumPy or torch as Python's own, and anything else as it is."""
    return value.item() if getattr(value, "shape", None) == () else value


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    known = _KINDS.get(get_origin(kind) or kind)
    if known is None:
        return not _is_class(kind) or isinstance(value, kind)
    return known[1](value)


def _is_class(kind: Any) -> bool:
    return (
        isinstance(kind, type) and kind not in _KINDS and kind is not Any and not getattr(kind, "_is_protocol", False)
    )


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if _is_class(kind):
        return f"a {kind.__name__}"
    return _KINDS[get_origin(kind) or kind][0]
