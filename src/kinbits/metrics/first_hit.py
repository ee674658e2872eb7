"""Measures of the first relevant item: hit and reciprocal rank, expected over random order inside ties."""

from __future__ import annotations

import numpy as np

from kinbits.metrics.groups import Counts, Floats, Groups

_NOTHING = 1e-18  # a probability below this changes no digit
_CHUNK = 1 << 14


def hit_at(groups: Groups, k: int) -> Floats:
    """Probability that a list of k holds a relevant item (1 or 0 where no tie is cut); NaN if there is none at all."""
    first = _first_group(groups)
    rows = np.arange(len(first))
    kept = np.clip(k - groups.items_before[rows, first], 0, groups.total[rows, first])
    misses = [
        _misses(int(groups.total[row, column]), int(groups.relevant[row, column]), int(kept[row]))[-1]
        for row, column in enumerate(first)
    ]
    return np.where(groups.all_relevant > 0, 1.0 - np.array(misses).reshape(len(first)), np.nan)


def reciprocal_rank(groups: Groups, k: None = None) -> Floats:
    """Mean of 1/rank of the first relevant item; NaN if there is none."""
    values = np.full(len(groups.total), np.nan)
    for row, column in enumerate(_first_group(groups)):
        n, r = int(groups.total[row, column]), int(groups.relevant[row, column])
        if r:
            before = int(groups.items_before[row, column])
            left = _misses(n, r, n - r)  # probability that the first t places hold none, t = 0, 1, ...
            t = np.arange(len(left))
            values[row] = np.sum(left * r / (n - t) / (before + t + 1))
    return values


def _first_group(groups: Groups) -> Counts:
    """Return the column of the first group that holds a relevant item, ``(q,)``."""
    return np.asarray(np.argmax(groups.relevant > 0, axis=1))


def _misses(n: int, r: int, kept: int) -> Floats:
    """Return the probabilities that the first 0, 1, ... ``kept`` of n items in random order hold none of r."""
    parts = [np.ones(1)]
    for start in range(0, kept, _CHUNK):
        t = np.arange(start, min(start + _CHUNK, kept), dtype=np.float64)
        parts.append(parts[-1][-1] * np.cumprod(np.maximum(n - r - t, 0.0) / (n - t)))
        if parts[-1][-1] < _NOTHING:
            break
    return np.concatenate(parts)
