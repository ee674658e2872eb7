"""Numbers in text: ASCII digits only, without the underscores and non-Latin digits that Python also accepts."""

from __future__ import annotations

import re

from kinbits.errors import UsageError

_WHOLE = re.compile(r"[-+]?[0-9]{1,4000}")


def parse_int(text: str) -> int:
    """Parse an integer.

    Raises:
        ValueError: If the text is not an integer in ASCII digits; ``1_0`` is not allowed.

    Example:
        >>> parse_int("-12")
        -12
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"'{text}' is not a whole number")
    return int(text)


def parse_float(text: str) -> float:
    """Parse a float, which may be ``inf`` or ``nan``.

    Raises:
        ValueError: If the text is not a number in ASCII; ``1_0`` is not allowed.
    """
    if not text.isascii() or "_" in text:
        raise ValueError(f"'{text}' is not a number")
    return float(text)


def check_seed(seed: int) -> None:
    """Check that a seed is one that all generators take.

    Raises:
        UsageError: If it is not from 0 to 2^32 - 1.
    """
    if not 0 <= seed < 2**32:
        raise UsageError(f"seed is {seed}; it must be from 0 to {2**32 - 1}")


def check_at_least(low: float, **values: float) -> None:
    """Check that values are not below a limit, and not NaN.

    Args:
        low: Smallest allowed value.
        values: Values by the names of their parameters.

    Raises:
        UsageError: If a value is too small; the message names the first one.

    Example:
        >>> check_at_least(0, margin=0.5, weight=0.0)
    """
    for name, value in values.items():
        if not value >= low:
            raise UsageError(f"{name} is {value}; it must be at least {low:g}")
