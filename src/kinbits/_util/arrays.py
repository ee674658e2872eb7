"""Counting within runs of equal values in an array."""

from __future__ import annotations

import numpy as np


def cumcount(values: np.ndarray) -> np.ndarray:
    """Return the position of each entry within its run of equal values, from 0; int64 ``(n,)``.

    Example:
        >>> cumcount(np.array([4, 4, 4, 7, 9, 9])).tolist()
        [0, 1, 2, 0, 0, 1]
    """
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])[: len(values)]
    return np.arange(len(values)) - np.repeat(starts, np.diff(np.r_[starts, len(values)]))
