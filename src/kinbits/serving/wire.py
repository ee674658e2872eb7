"""How arrays travel in JSON."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np


def tables_json(tables: np.ndarray) -> dict[str, Any]:
    """Return look-up tables of a query, float32 ``(parts, words)``, as a request holds them."""
    data = base64.b64encode(np.ascontiguousarray(tables, "<f4").tobytes()).decode()
    return {"shape": list(tables.shape), "data": data}
