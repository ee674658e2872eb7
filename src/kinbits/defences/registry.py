"""The registry of defences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from kinbits._util import Registry
from kinbits.defences.base import Defence

D = TypeVar("D", bound="type[Defence]")
_REGISTRY: Registry[Defence] = Registry("defence", "kinbits.defences", "register_defence")


def register_defence(name: str) -> Callable[[D], D]:
    """Register a defence class under the name that Python, the command line and YAML use.

    Raises:
        UsageError: If another defence has the name.
    """
    return _REGISTRY.register(name)


def list_defences() -> list[str]:
    """List the names of all registered defences."""
    return _REGISTRY.names()


def get_defence(name: str) -> type[Defence]:
    """Return the class of a defence.

    Raises:
        UsageError: If no defence has this name; the message offers the nearest ones.
    """
    return _REGISTRY.get(name)


def build_defence(name: str, **params: Any) -> Defence:
    """Make a defence.

    Args:
        name: A registered name.
        params: Its parameters; what is left out keeps its default.

    Raises:
        UsageError: If the name or a parameter is unknown, or a value is out of range.

    Example:
        >>> build_defence("saat", steps=3).attack.steps
        3
    """
    return _REGISTRY.build(name, params)
