"""Numbers that people write: in ASCII digits, without the underscores and other scripts that Python takes too."""

from __future__ import annotations

import re

_WHOLE = re.compile(r"[-+]?[0-9]{1,4000}")


def whole_number(text: str) -> int:
    """Read a whole number.

    Raises:
        ValueError: It is none, or written otherwise, e.g. ``1_0``.

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
        ValueError: It is none, or written otherwise, e.g. ``1_0``.
    """
    if not text.isascii() or "_" in text:
        raise ValueError(f"'{text}' is no number")
    return float(text)
