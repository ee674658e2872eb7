"""Groups of training rows that stay together in a batch: pairs with negatives, lists by shared labels, triplets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kinbits.data import Pairs
from kinbits.errors import DataError

CELLS = 1 << 23
LIST_CELLS, LIST_TRIES = 1 << 22, 16


@dataclass(frozen=True)
class Pool:
    """Rows from which dissimilar ones are taken.

    Attributes:
        rows: Row numbers, int64 ``(p,)``, each in a cluster.
        points: Their current outputs, float ``(p, k)``; None for random rows instead of near ones.
    """

    rows: np.ndarray
    points: Tensor | None = None


def draw_pairs(pairs: Pairs, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw similar pairs, each in a random direction, int64 ``(q, 2)``.

    A row that has only dissimilar partners is drawn as a pair with itself, which has no effect on a loss.
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
        places: Current outputs of the queries, float ``(q, k)``; None if the pool has no points.
        pool: Candidate rows.
        count: Number of rows for each query.
        rng: Generator for a random order, if there are no points.

    Returns:
        int64 ``(q, count)``; the query itself where there are no more clusters apart from its own. Blocks of queries
        against the pool bound the memory.
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
    """Return which clusters are apart, bool ``(q, c)``; an unknown cluster is apart from none."""
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


class LabelLists:
    """An inverted index from labels to rows, with one number per label of a row.

    Args:
        labels: int64 ``(n,)``, negative where there is none, or multi-hot ``(n, C)``.
    """

    def __init__(self, labels: Tensor) -> None:
        labels = labels.cpu()
        self.sets = labels > 0 if labels.ndim == 2 else None
        if self.sets is None:
            rows = (labels >= 0).nonzero()[:, 0].numpy()
            self.tags = labels.numpy()[rows]
        else:
            rows, self.tags = (found.numpy() for found in self.sets.nonzero().T)
        self.anchors, self.sizes = np.unique(rows, return_counts=True)
        self.first = np.cumsum(self.sizes) - self.sizes  # where an anchor's labels begin in self.tags
        self.by_tag = rows[np.argsort(self.tags, kind="stable")]
        self.counts = np.bincount(self.tags)
        self.starts = np.cumsum(self.counts) - self.counts

    def draw(self, groups: int, size: int, rng: np.random.Generator) -> Tensor:
        """Draw anchors, each with a list in which all numbers of shared labels are equally likely.

        For each place in a list, a number of labels is drawn, from 1 to that of the anchor. Of 16 rows that share a
        label with the anchor, the one closest to this number is taken, each row once. If none is left, a random
        labelled row is taken.

        Args:
            groups: Number of anchors; each row is an anchor once before any is an anchor twice.
            size: Rows of a group, the anchor first; at least 2.
            rng: Generator of the draws.

        Returns:
            Row numbers, int64 ``(groups, size)``.
        """
        rounds = [rng.permutation(len(self.anchors)) for _ in range(-(-groups // len(self.anchors)))]
        order = np.concatenate(rounds)[:groups]
        width = 1 if self.sets is None else self.sets.shape[1]
        step = max(1, LIST_CELLS // (LIST_TRIES * width))
        parts = [self._lists(order[start : start + step], size, rng) for start in range(0, groups, step)]
        return torch.from_numpy(np.concatenate(parts))

    def _lists(self, anchors: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        """Draw the lists of some anchors, numbered as in ``self.anchors``."""
        sizes, own, every = self.sizes[anchors, None], self.anchors[anchors], np.arange(len(anchors))
        tags = self.tags[self.first[anchors, None] + rng.integers(0, sizes, (len(anchors), LIST_TRIES))]
        tries = self.by_tag[self.starts[tags] + rng.integers(0, self.counts[tags])]
        shared = np.where(tries == own[:, None], -np.inf, self._shared(own, tries))
        group = [own]
        for _ in range(size - 1):
            miss = np.abs(shared - rng.integers(1, sizes + 1))
            best = miss.argmin(1)
            row, found = tries[every, best], np.isfinite(miss[every, best])
            group.append(np.where(found, row, rng.choice(self.anchors, len(own))))
            shared = np.where(tries == row[:, None], -np.inf, shared)
        return np.stack(group, 1)

    def _shared(self, own: np.ndarray, tries: np.ndarray) -> np.ndarray:
        """Return how many labels rows share with their anchor, float ``(m, LIST_TRIES)``."""
        if self.sets is None:
            return np.ones(tries.shape)  # found through the one label that there is
        return (self.sets[own][:, None] & self.sets[tries]).sum(2).numpy()


def triplets(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a positive and a negative for every row whose class has another row.

    Args:
        labels: int64 ``(n,)``, negative for unlabelled rows, which are not drawn.
        rng: Generator of the draws.

    Returns:
        int64 ``(m, 3)``: anchor, positive, negative. Memory and time grow with n.

    Raises:
        DataError: If no triplet exists.
    """
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]  # the rows, class by class
    _, first, member, size = np.unique(labels[order], return_index=True, return_inverse=True, return_counts=True)
    if len(first) < 2 or size.max() < 2:
        raise DataError("no triplet can be drawn: give at least two classes, and one of them at least two images")
    place = np.flatnonzero(size[member] > 1)
    start, count = first[member[place]], size[member[place]]
    positive = start + (place - start + rng.integers(1, count)) % count
    negative = rng.integers(0, len(order) - count)
    negative += count * (negative >= start)  # step over the anchor's own class
    drawn: np.ndarray = order[np.stack([place, positive, negative], axis=1)]
    return drawn
