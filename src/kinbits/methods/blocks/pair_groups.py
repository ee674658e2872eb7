"""Groups for losses on pairs: a query, a row similar to it, and rows that are not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kinbits.data import Pairs

CELLS = 1 << 23


@dataclass(frozen=True)
class Pool:
    """Rows among which dissimilar ones are sought.

    Args:
        rows: Row numbers, int64 ``(p,)``, each in a cluster.
        points: Where they stand now, float ``(p, k)``; None makes any row as near as another.
    """

    rows: np.ndarray
    points: Tensor | None = None


def draw_pairs(pairs: Pairs, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw similar pairs, each in a random direction, int64 ``(q, 2)``.

    A row that is only known to be dissimilar from others is drawn as a pair with itself, which says nothing.
    """
    similar = np.stack([pairs.a, pairs.b], 1)[pairs.similar]
    lonely = np.setdiff1d(np.concatenate([pairs.a, pairs.b]), similar)
    anchors = np.concatenate([similar, np.stack([lonely, lonely], 1)])
    drawn = anchors[rng.permutation(len(anchors))[:count]]
    return np.asarray(rng.permuted(drawn, axis=1), np.int64)


def given_negatives(pairs: Pairs, queries: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rows listed as dissimilar from the queries, int64 ``(q, count)``; the query itself where there are none."""
    a, b = pairs.a[~pairs.similar], pairs.b[~pairs.similar]
    ends = np.concatenate([a, b])
    order = np.argsort(ends, kind="stable")
    others = np.concatenate([b, a])[order]
    sizes = np.bincount(ends, minlength=len(pairs.clusters))
    starts, sizes = (np.cumsum(sizes) - sizes)[queries], sizes[queries]
    if not len(others):
        return np.repeat(queries[:, None], count, 1)
    first = rng.integers(0, np.maximum(sizes, 1))[:, None]
    places = (starts[:, None] + (first + np.arange(count)) % np.maximum(sizes, 1)[:, None]) % len(others)
    return np.where(np.arange(count) < sizes[:, None], others[places], queries[:, None])


def mined_negatives(
    pairs: Pairs, queries: np.ndarray, places: Tensor | None, pool: Pool, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Find the nearest rows of other clusters, at most one of each cluster.

    Args:
        pairs: What is known of the rows.
        queries: Row numbers, int64 ``(q,)``.
        places: Where the queries stand now, float ``(q, k)``, or None with a pool that has no points.
        pool: Where to look.
        count: Rows wanted for each query.
        rng: Where the order comes from if there are no points.

    Returns:
        int64 ``(q, count)``; the query itself where no more clusters are apart from its own. Memory is bounded:
        blocks of queries against the pool, never all rows against all.
    """
    found = np.repeat(queries[:, None], count, 1)
    if not len(pool.rows):
        return found
    present, inside = np.unique(pairs.clusters[pool.rows], return_inverse=True)
    size = max(1, CELLS // max(len(pool.rows), len(present)))
    for start in range(0, len(queries), size):
        part = slice(start, start + size)
        if places is None or pool.points is None:
            distances = torch.from_numpy(rng.random((len(queries[part]), len(pool.rows)), np.float32))
        else:
            distances = torch.cdist(places[part], pool.points).float()
        apart = torch.from_numpy(_apart(pairs, pairs.clusters[queries[part]], present)).to(distances.device)
        nearest = _nearest_of_each(distances, torch.from_numpy(inside).to(distances.device), apart, count).cpu().numpy()
        width = nearest.shape[1]
        found[part, :width] = np.where(nearest >= 0, pool.rows[nearest], found[part, :width])
    return found


def _apart(pairs: Pairs, clusters: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Tell which clusters are apart, bool ``(q, c)``; an unknown one from none."""
    if pairs.sets is None:
        apart: np.ndarray = clusters[:, None] != others
    else:
        sets = pairs.sets.astype(np.float32)
        apart = sets[clusters] @ sets[others].T == 0
    return apart & (clusters >= 0)[:, None]


def _nearest_of_each(distances: Tensor, clusters: Tensor, apart: Tensor, count: int) -> Tensor:
    """Return columns of the smallest distances, int64 ``(q, <= count)``, one a cluster that is apart; -1 for none."""
    # A float that is not negative orders like its bits: in one integer with the column, a minimum keeps both.
    packed = distances.clamp_min(0).view(torch.int32).long() << 32 | torch.arange(len(clusters), device=clusters.device)
    none = torch.iinfo(torch.int64).max
    best = packed.new_full(apart.shape, none)
    best = best.scatter_reduce(1, clusters.expand(len(packed), -1), packed, "amin")
    best = best.masked_fill(~apart, none).topk(min(count, apart.shape[1]), largest=False).values
    return torch.where(best == none, -1, best & 0xFFFFFFFF)
