"""Sums over consecutive ranks, exact to rounding and without a table as long as the database."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from kinbits.metrics.groups import Counts, Floats

_NEAR = 64  # from here on the series below is exact to the last bit
_TABLE = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, _NEAR + 1))])


def harmonic(start: Counts, stop: Counts) -> Floats:
    """Return 1/(start+1) + ... + 1/stop, for 0 <= start <= stop.

    H(n) = ln n + γ + 1/2n - 1/12n² + 1/120n⁴ - 1/252n⁶ + ...: the difference of two is taken term by term, so that
    it is exact even if it is much smaller than H.
    """
    sums = np.zeros(np.broadcast_shapes(start.shape, stop.shape))
    some = stop > start  # most groups of a long code are empty
    sums[some] = _harmonic(start[some], stop[some])
    return sums


def _harmonic(start: Counts, stop: Counts) -> Floats:
    low, high = np.maximum(start, _NEAR), np.maximum(stop, _NEAR)
    near = _TABLE[np.minimum(stop, _NEAR)] - _TABLE[np.minimum(start, _NEAR)]
    a, b = 1.0 / low, 1.0 / high
    gap = -(high - low) * a * b  # 1/high - 1/low
    aa, bb = a * a, b * b
    series = 0.5 - (a + b) * (1 / 12 - (aa + bb) / 120 + (aa * aa + aa * bb + bb * bb) / 252)
    return np.asarray(near + np.log1p((high - low) * a) + gap * series)


def discounts(start: Counts, stop: Counts) -> Floats:
    """Return the sum of 1/log2(1 + rank) over the ranks start + 1 ... stop."""
    table = _discount_table(1 << max(10, int(stop.max(initial=0)).bit_length()))
    return np.asarray(table[stop] - table[start])


@lru_cache(maxsize=2)
def _discount_table(size: int) -> Floats:
    table = np.zeros(size + 1)
    np.cumsum(1.0 / np.log2(np.arange(2, size + 2)), out=table[1:])
    table.setflags(write=False)
    return table
