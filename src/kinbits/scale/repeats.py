"""Ids that occur in two blocks, found without all ids in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

_READERS = 8


def repeated_id(ids: Callable[[int], Sequence[str]], count: int) -> tuple[str, int, int] | None:
    """Find an id that occurs twice.

    64-bit hashes of all ids are compared. Only where two are equal, the ids are read again and compared themselves.

    Args:
        ids: Reads the ids of the block of a number; it is called from several threads.
        count: Number of blocks.

    Returns:
        The id and the numbers of two blocks that hold it; None if no id occurs twice.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        hashes = np.concatenate([np.zeros(0, np.int64), *pool.map(lambda number: _hashes(ids(number)), range(count))])
    hashes.sort()
    suspects = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    del hashes
    if not suspects.size:
        return None
    seen: dict[str, int] = {}
    for number in range(count):
        found = ids(number)
        for row in np.flatnonzero(np.isin(_hashes(found), suspects)).tolist():
            first = seen.setdefault(found[row], number)
            if first != number:
                return found[row], first, number
    return None


def _hashes(ids: Sequence[str]) -> np.ndarray:
    """Return int64 ``(n,)``, which are the same only within one process."""
    return np.fromiter(map(hash, ids), np.int64, len(ids))
