"""Labels that were written as text, as numbers again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CELLS = 1 << 28


def label_numbers(texts: Sequence[str | None], cells: int = CELLS, *, several: bool | None = None) -> np.ndarray | None:
    """Number the labels of items, as `Dataset.metadata` writes them: several are joined by a comma and a blank.

    Args:
        texts: One text an item; None for no label.
        cells: Maximum size of a table of items and labels. For more, each combination of labels is one class.
        several: Whether a text may hold several labels; False leaves a class like ``Paris, France`` whole. None if
            not known; then a comma and a blank separate labels.

    Returns:
        int64 ``(n,)`` with -1 for no label; bool ``(n, c)`` where an item has several labels; None if no item has one.
    """
    if all(text is None for text in texts):
        return None
    parts = [[] if text is None else [str(text)] if several is False else str(text).split(", ") for text in texts]
    names = sorted({name for part in parts for name in part})
    if max(map(len, parts)) == 1 or len(parts) * len(names) > cells:
        known = {name: number for number, name in enumerate(sorted({str(text) for text in texts if text is not None}))}
        return np.array([-1 if text is None else known[str(text)] for text in texts])
    place = {name: number for number, name in enumerate(names)}
    rows = np.zeros((len(parts), len(names)), bool)
    for row, part in zip(rows, parts, strict=True):
        row[[place[name] for name in part]] = True
    return rows
