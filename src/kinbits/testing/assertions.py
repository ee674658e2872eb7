"""Comparisons of a conformance check, and their messages."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np


def hit_pairs(hits: Any) -> list[tuple[float, Any]]:
    """Return the distance and id of every hit."""
    return list(zip(np.asarray(hits.distances).tolist(), np.asarray(hits.ids).tolist(), strict=True))


def true_hits(found: list[tuple[float, Any]], true: list[tuple[float, Any]], most: int) -> list[tuple[float, Any]]:
    """Return the correct hits among those found: in order, each once, and at most ``most``."""
    kept = set(found)
    return [pair for pair in true if pair in kept][:most]


def require_equal(found: list[tuple[float, Any]], expected: list[tuple[float, Any]], promise: str) -> None:
    """Raise AssertionError if two lists of hits differ."""
    if found == expected:
        return
    place = next((i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), None)
    at = min(len(found), len(expected)) if place is None else place
    raise AssertionError(
        f"{promise}: at place {at} the (distance, id) are {found[at : at + 3]} "
        f"instead of {expected[at : at + 3]}; {len(found)} hits instead of {len(expected)}"
    )


def require(holds: bool, promise: str) -> None:
    """Raise AssertionError if a promise is broken."""
    if not holds:
        raise AssertionError(f"broken promise: {promise}")


def require_raises(error: type[Exception], action: Callable[[], Any], what: str) -> None:
    """Raise AssertionError unless the action raises the error."""
    with suppress(error):
        action()
        raise AssertionError(f"broken promise: {what} must raise {error.__name__}")
