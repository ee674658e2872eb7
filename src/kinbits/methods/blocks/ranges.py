"""Checks of hyper-parameters that name only the one that is out of range."""

from __future__ import annotations

from kinbits.errors import UsageError


def at_least(low: float, **values: float) -> None:
    """Refuse the first of some values that is below a limit, or not a number.

    Args:
        low: The least that is allowed.
        values: The values by the names that a person knows.

    Raises:
        UsageError: A value is too small; the message names that one alone.

    Example:
        >>> at_least(0, margin=0.5, weight=0.0)
    """
    for name, value in values.items():
        if not value >= low:
            raise UsageError(f"{name} is {value}; it must be at least {low:g}")
