"""Groups that do not chain: every item is within the radius of the representative of its group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def star_groups(first: Rows, second: Rows, distances: NDArray[np.int32], rank: Rows) -> tuple[Rows, NDArray[np.int32]]:
    """Group items around representatives.

    Representatives are chosen by rank: the best item first, then the best one that is not near a chosen one, and so on
    (the lexicographically first maximal independent set). Every other item joins the nearest representative; of equal
    ones, the better. So two items of a group are at most two radii apart, and a chain of small steps makes no group.

    Args:
        first: Rows of pairs within the radius, ``(p,)``; each pair once.
        second: The other rows, ``(p,)``.
        distances: Bits between the two, ``(p,)``.
        rank: Rank of each item, ``(n,)``, all different; the smallest is the best.

    Returns:
        The representative of each item, ``(n,)``, which is the item itself if it stands alone or represents others; and
        the distances to them, int32 ``(n,)``.
    """
    n = len(rank)
    order = np.argsort(rank)  # row of each rank
    one, two = rank[first], rank[second]
    better, worse = np.minimum(one, two), np.maximum(one, two)
    chosen = _first_independent_set(better, worse, n)
    center, near = np.arange(n), np.zeros(n, np.int32)
    links = chosen[better] & ~chosen[worse]
    reverse = chosen[worse] & ~chosen[better]
    member = np.concatenate([worse[links], better[reverse]])
    leader = np.concatenate([better[links], worse[reverse]])
    apart = np.concatenate([distances[links], distances[reverse]])
    sequence = np.lexsort((leader, apart, member))
    member, at = np.unique(member[sequence], return_index=True)
    center[member], near[member] = leader[sequence][at], apart[sequence][at]
    found, bits = np.empty(n, np.int64), np.empty(n, np.int32)
    found[order], bits[order] = order[center], near
    return found, bits


def _first_independent_set(better: Rows, worse: Rows, n: int) -> NDArray[np.bool_]:
    """Return which ranks are representatives: from the best on, each one that no chosen one is near."""
    dropped = np.zeros(n, np.bool_)
    order = np.argsort(better, kind="stable")
    near = worse[order]
    leaders, starts = np.unique(better[order], return_index=True)
    ends = np.append(starts, len(near))[1:]
    for leader, start, end in zip(leaders.tolist(), starts.tolist(), ends.tolist(), strict=True):
        if not dropped[leader]:
            dropped[near[start:end]] = True
    return ~dropped


def components(first: Rows, second: Rows, n: int) -> Rows:
    """Return the smallest row of the connected component of each row, ``(n,)``."""
    parent = list(range(n))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for one, two in zip(first.tolist(), second.tolist(), strict=True):
        a, b = root(one), root(two)
        parent[max(a, b)] = min(a, b)
    return np.array([root(row) for row in range(n)], np.int64)


def members(center: Rows) -> list[Rows]:
    """Return the rows of each group of two or more, in the order of the representatives' rows."""
    order = np.argsort(center, kind="stable")
    starts = np.flatnonzero(np.diff(center[order], prepend=-1))
    return [rows for rows in np.split(order, starts[1:]) if len(rows) > 1] if len(order) else []
