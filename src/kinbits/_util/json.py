"""JSON from files that other programs wrote."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; every fault of the text is a `ValueError`.

    Raises:
        ValueError: If the text is not valid JSON, or is nested too deeply.

    Example:
        >>> parse_json('{"id": 17}')
        {'id': 17}
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
