"""All pairs of codes within a radius, as a stream of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kinbits.hamming._native import MultiIndex as NativeIndex

Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]

_CHUNK = 1 << 20  # pairs of rows handed out at a time
_GROUP_PAIRS = 1 << 20  # pairs of distinct codes held at a time, about
_FIRST_BLOCK = 1024  # distinct codes whose partners are searched together, at first


def pair_stream(native: NativeIndex, groups: int, radius: int, threads: int) -> Iterator[Pairs]:
    """Yield the pairs of rows, group after group.

    Args:
        native: The grouped codes with tables.
        groups: Number of distinct codes.
        radius: Largest distance.
        threads: How many search at a time.
    """
    begin, step = 0, _FIRST_BLOCK
    while begin < groups:
        end = min(begin + step, groups)
        flat = native.pair_groups(begin, end, radius, threads)
        yield from _expanded(native, flat)
        begin = end
        if len(flat) // 3 > _GROUP_PAIRS:
            step = max(1, step // 4)
        elif len(flat) // 3 < _GROUP_PAIRS // 4:
            step = min(_GROUP_PAIRS, 2 * step)


def _expanded(native: NativeIndex, flat: NDArray[np.uint32]) -> Iterator[Pairs]:
    """Yield the rows of pairs of groups; one pair of groups may fill many chunks."""
    cursor = np.zeros(3, np.uint64)
    while cursor[0] < len(flat) // 3:
        first, second = np.empty(_CHUNK, np.int64), np.empty(_CHUNK, np.int64)
        distances = np.empty(_CHUNK, np.int32)
        count = native.expand_pairs(flat, cursor, first, second, distances)
        if count:
            yield first[:count].copy(), second[:count].copy(), distances[:count].copy()
