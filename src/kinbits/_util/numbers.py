"""Numbers that people write: in ASCII digits, without the underscores and other scripts that Python takes too."""

from __future__ import annotations

import re

from kinbits.errors import UsageError

_WHOLE = re.compile(r"[-+]?[0-9]{1,4000}")


def whole_number(text: str) -> int:
    """Read a whole number.

    Raises:
        ValueError: If it is none, or written otherwise, e.g. ``1_0``.

    Example:
        >>> whole_number("-12")
        -12
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"'{text}' is no whole number")
    return int(text)


def number(text: str) -> float:
    """Read a number, which may be ``inf`` or ``nan``.

    Raises:
        ValueError: If it is none, or written otherwise, e.g. ``1_0``.
    """
    if not text.isascii() or "_" in text:
        raise ValueError(f"'{text}' is no number")
    return float(text)


def check_at_least(low: float, **values: float) -> None:
    """Refuse the first value that is below a limit, or not a number.

    Args:
        low: The smallest allowed value.
        values: The values, by the names of their parameters.

    Raises:
        UsageError: If a value is too small; the message names only that one.

    Example:
        >>> check_at_least(0, margin=0.5, weight=0.0)
    """
    for name, value in values.items():
        if not value >= low:
            raise UsageError(f"{name} is {value}; it must be at least {low:g}")
