"""Text from a command line or a YAML file as values of the types that Python code declares."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from kinbits._util import parse_float, parse_int
from kinbits.errors import UsageError, unknown_name

PARAMS = {"label_expansion": "expansion_params", "defence": "defence_params"}
_BOOLEANS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def parse(text: str, hint: Any, name: str) -> Any:
    """Read text as a value of a type.

    Args:
        text: What was typed.
        hint: ``int``, ``float``, ``bool``, ``str``, ``Path``, a ``Literal`` of strings or a union of these.
        name: Of the option, for the error.

    Raises:
        UsageError: If the text is no such value.
    """
    text = text.strip()
    kinds = kinds_of(hint)
    if type(None) in kinds and text.lower() in ("none", "null"):
        return None
    for kind in kinds:
        try:
            return _as(text, kind)
        except ValueError:
            continue
    raise UsageError(f"{name} is '{text}'; give {' or '.join(_shown(kind) for kind in kinds)}")


def kinds_of(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the one type."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _as(text: str, kind: Any) -> Any:
    if get_origin(kind) is Literal:
        found = [choice for choice in get_args(kind) if str(choice) == text]
        if not found:
            raise ValueError(text)
        return found[0]
    if kind is bool:
        if text.lower() not in _BOOLEANS:
            raise ValueError(text)
        return _BOOLEANS[text.lower()]
    if kind in (int, float):
        return parse_int(text) if kind is int else _number(text)
    if kind in (str, Path):
        return kind(text)
    raise ValueError(text)


def _number(text: str) -> float:
    """Read a number, or a fraction such as 8/255."""
    above, slash, below = text.partition("/")
    if slash and parse_float(below) == 0:
        raise ValueError(text)
    return parse_float(above) / parse_float(below) if slash else parse_float(text)


def _shown(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    names = {int: "a whole number", float: "a number", bool: "true or false", type(None): "none"}
    return names.get(kind, "text")


def parameters_of(method: type[Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Read the hyper-parameters of a method, an attack or the like by the types in the signature of ``__init__``.

    Raises:
        UsageError: If it has no such parameter, or the text is no such value.
    """
    from kinbits.methods import parameters

    hints = get_type_hints(method.__init__)
    known = [parameter.name for parameter in parameters(method)]
    for name in given:
        if name not in known:
            raise unknown_name("parameter", name, known or ["(it has none)"], place=f"of '{method.name}'")
    return {name: parse(text, hints.get(name, str), f"parameter {name}") for name, text in given.items()}


def params_of_parts(settings: Mapping[str, Any], given: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Read the parameters of the label expansion and of the defence that the settings name, as options of `fit`.

    Args:
        settings: Options of `fit` by name.
        given: Texts of the options that hold values by name.
    """
    from kinbits.defences import get_defence
    from kinbits.labelling import get_expansion

    found: dict[str, Any] = {}
    for part, get in (("label_expansion", get_expansion), ("defence", get_defence)):
        option = PARAMS[part]
        if option in given:
            name = settings.get(part)
            found[option] = given[option] if name is None else parameters_of(get(name), given[option])
    return found


def named_values(texts: Sequence[str], option: str = "--param") -> dict[str, str]:
    """Split ``name=value`` arguments.

    Raises:
        UsageError: If there is no ``=``.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{option} is '{text}'; give NAME=VALUE, e.g. {option} margin=0.3")
        found[name.strip()] = value
    return found
