"""Distances of pairs of codes, of one class and of different ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.metrics.groups import Counts, Floats
from kinbits.metrics.leave_one_out import LeaveOneOut
from kinbits.metrics.relevance import Codes, LabelRelevance

_BLOCK = 1 << 10
_DRAWN = 1 << 20  # pairs drawn at one time
Labels = NDArray[Any]


@dataclass(frozen=True)
class PairCounts:
    """Unordered pairs by distance.

    Attributes:
        within: Pairs of one class, or that share a label, int64 ``(8w + 1,)``.
        between: All other pairs, int64 ``(8w + 1,)``.
        sampled: Whether pairs were drawn rather than all looked at.
    """

    within: Counts
    between: Counts
    sampled: bool

    @property
    def all(self) -> Counts:
        """Pairs of either kind."""
        return self.within + self.between


@dataclass(frozen=True)
class PairSample:
    """Which pairs are looked at.

    Attributes:
        exact_items: Largest number of codes of which all pairs are.
        drawn_pairs: Pairs that are drawn of more codes, with replacement.
        seed: Of the draw.
    """

    exact_items: int
    drawn_pairs: int
    seed: int


def count_pairs(codes: Codes, labels: Labels | None, sample: PairSample) -> PairCounts:
    """Count pairs by distance; without labels, all are ``between``."""
    known = np.zeros(len(codes), np.int64) - 1 if labels is None else labels
    return _all(codes, known) if len(codes) <= sample.exact_items else _drawn(codes, known, sample)


def _all(codes: Codes, labels: Labels) -> PairCounts:
    relevance = LeaveOneOut(LabelRelevance(labels, labels))
    count = relevance.counter(codes, codes, None)
    found = np.zeros((2, 8 * codes.shape[1] + 1), np.int64)
    for start in range(0, len(codes), _BLOCK):
        levels = count(start, start + _BLOCK).sum(axis=0)
        found += np.stack([levels[0], levels[1:].sum(axis=0)])
    # every pair was counted from both sides
    return PairCounts(found[1] // 2, found[0] // 2, sampled=False)


def _drawn(codes: Codes, labels: Labels, sample: PairSample) -> PairCounts:
    rng = np.random.default_rng(sample.seed)
    found = np.zeros((2, 8 * codes.shape[1] + 1), np.int64)
    for start in range(0, sample.drawn_pairs, _DRAWN):
        size = min(_DRAWN, sample.drawn_pairs - start)
        one = rng.integers(0, len(codes), size)
        two = (one + rng.integers(1, len(codes), size)) % len(codes)  # never the same one
        near = hamming.paired_distances(codes[one], codes[two])
        same = _same(labels[one], labels[two])
        for kind in (False, True):
            found[int(kind)] += np.bincount(near[same == kind], minlength=found.shape[1])
    return PairCounts(found[1], found[0], sampled=True)


def _same(a: Labels, b: Labels) -> NDArray[np.bool_]:
    return np.asarray((a == b) & (a >= 0)) if a.ndim == 1 else np.asarray((a.astype(bool) & b.astype(bool)).any(axis=1))


def collisions(code_of: NDArray[np.integer], labels: Labels) -> tuple[float, float]:
    """Return the shares of equal codes among pairs of one class and among pairs of different classes, exactly.

    Args:
        code_of: Number of each item's code, int ``(n,)``.
        labels: Class numbers ``(n,)``, none of them unlabelled.
    """
    classes = np.unique(labels, return_inverse=True)[1]
    both = np.unique(code_of.astype(np.int64) * (int(classes.max(initial=0)) + 1) + classes, return_counts=True)[1]
    equal, within = _pairs(np.unique(code_of, return_counts=True)[1]), _pairs(both)
    of_class, every = _pairs(np.bincount(classes)), _pairs(np.array([len(labels)]))
    return share(within, of_class), share(equal - within, every - of_class)


def _pairs(sizes: NDArray[np.integer]) -> int:
    return sum(int(size) * (int(size) - 1) // 2 for size in sizes)


def share(part: float, whole: float) -> float:
    """Divide; 0 of nothing is 0."""
    return part / whole if whole else 0.0


def mean_and_deviation(counts: Counts) -> tuple[float, float]:
    """Return mean and deviation of distances from their counts; NaN where there are none."""
    total = counts.sum()
    if not total:
        return float("nan"), float("nan")
    distance: Floats = np.arange(len(counts), dtype=np.float64)
    mean = float(counts @ distance / total)
    return mean, float(np.sqrt(counts @ (distance - mean) ** 2 / total))
