"""Conformance checks that ship, for kinbits' own suite and for anybody's methods and indexes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinbits.testing._index import check_index
    from kinbits.testing._method import check_method

__all__ = ["check_index", "check_method"]

_HOME = {"check_index": "_index", "check_method": "_method"}


def __getattr__(name: str) -> Any:  # lazy: checking an index loads no torch
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
