"""Lists of training rows that hold several levels of relevance to their anchor, drawn through the labels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

CELLS, TRIES = 1 << 22, 16


class LabelLists:
    """An inverted index from labels to rows: as many numbers as there are labels on all rows, never n x n.

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
        """Draw anchors, each with a list in which every number of shared labels is as likely.

        For each place in a list a number of labels, from 1 to all of the anchor's, is drawn, and of 16 rows that are
        found through the anchor's labels the one that comes nearest to it is taken, each row once. Where they run out,
        any labelled row is taken.

        Args:
            groups: How many anchors; none comes twice before all came once.
            size: Rows of a group, the anchor first; at least 2.
            rng: Where randomness comes from.

        Returns:
            Row numbers, int64 ``(groups, size)``.
        """
        rounds = [rng.permutation(len(self.anchors)) for _ in range(-(-groups // len(self.anchors)))]
        order = np.concatenate(rounds)[:groups]
        width = 1 if self.sets is None else self.sets.shape[1]
        step = max(1, CELLS // (TRIES * width))
        parts = [self._lists(order[start : start + step], size, rng) for start in range(0, groups, step)]
        return torch.from_numpy(np.concatenate(parts))

    def _lists(self, anchors: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        """Draw the lists of some anchors, numbered as in ``self.anchors``."""
        sizes, own, every = self.sizes[anchors, None], self.anchors[anchors], np.arange(len(anchors))
        tags = self.tags[self.first[anchors, None] + rng.integers(0, sizes, (len(anchors), TRIES))]
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
        """Return how many labels rows share with their anchor, float ``(m, TRIES)``."""
        if self.sets is None:
            return np.ones(tries.shape)  # found through the one label that there is
        return (self.sets[own][:, None] & self.sets[tries]).sum(2).numpy()
