"""All pairs of codes within a radius, as a stream of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kinbits.hamming._native import MultiIndex as NativeIndex

Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]

CHUNK = 1 << 20  # pairs of rows in a chunk
_GROUP_PAIRS = 1 << 20  # pairs of distinct codes in memory, about
_FIRST_BLOCK = 1024  # distinct codes in the first block


def pair_stream(
    native: NativeIndex,
    groups: int,
    radius: int,
    threads: int,
    *,
    chunk: int = CHUNK,
    group_pairs: int = _GROUP_PAIRS,
    first_block: int = _FIRST_BLOCK,
) -> Iterator[Pairs]:
    """Yield the pairs of rows, group after group.

    Args:
        native: The grouped codes with tables.
        groups: Number of distinct codes.
        radius: Maximum distance in bits.
        threads: Number of threads.
        chunk: Maximum number of pairs in a chunk.
        group_pairs: Pairs of distinct codes in memory, about: the size of blocks adapts to it.
        first_block: Distinct codes in the first block.
    """
    begin, step = 0, first_block
    while begin < groups:
        end = min(begin + step, groups)
        flat = native.pair_groups(begin, end, radius, threads)
        yield from _expand(native, flat, chunk)
        begin = end
        if len(flat) // 3 > group_pairs:
            step = max(1, step // 4)
        elif len(flat) // 3 < group_pairs // 4:
            step = min(group_pairs, 2 * step)


def _expand(native: NativeIndex, flat: NDArray[np.uint32], chunk: int) -> Iterator[Pairs]:
    """Yield the pairs of rows of pairs of groups; one pair of groups may fill many chunks."""
    cursor = np.zeros(3, np.uint64)
    while cursor[0] < len(flat) // 3:
        first, second = np.empty(chunk, np.int64), np.empty(chunk, np.int64)
        distances = np.empty(chunk, np.int32)
        count = native.expand_pairs(flat, cursor, first, second, distances)
        if count:
            yield first[:count].copy(), second[:count].copy(), distances[:count].copy()
