"""Words as a person reads them."""

from __future__ import annotations


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters, with an ellipsis where it was cut.

    Example:
        >>> shortened("two dogs on grass", 9)
        'two dogs…'
    """
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
