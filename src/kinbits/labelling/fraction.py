"""A part of the labels, as if nobody had given the others."""

from __future__ import annotations

import numpy as np

from kinbits._util import cumcount
from kinbits.errors import UsageError


def keep_fraction(labels: np.ndarray, fraction: float, seed: int = 0) -> np.ndarray:
    """Choose the rows whose labels stay.

    One label per row: the same share of every class, and one row of each at least. Sets of labels: random rows, of
    which the first ones are chosen so that every label stays (rare ones first).

    Args:
        labels: int ``(n,)`` with -1 for unlabelled, or multi-hot ``(n, C)``.
        fraction: Share of the labelled rows, above 0 and up to 1.
        seed: The same seed keeps the same rows; a larger fraction keeps these and more of one-label rows.

    Returns:
        bool ``(n,)``.

    Raises:
        UsageError: The fraction is out of range.

    Example:
        >>> int(keep_fraction(np.arange(100) % 4, 0.1).sum())
        12
    """
    if not 0 < fraction <= 1:
        raise UsageError(f"labels_fraction is {fraction}; it is a share of the labels above 0 and up to 1, e.g. 0.1")
    rng = np.random.default_rng([seed, 11])
    chosen = _of_each(labels, fraction, rng) if labels.ndim == 1 else _of_sets(labels > 0, fraction, rng)
    kept = np.zeros(len(labels), bool)
    kept[chosen] = True
    return kept


def _of_each(labels: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    order = rng.permutation(np.flatnonzero(labels >= 0))
    order = order[np.argsort(labels[order], kind="stable")]
    sizes = np.unique(labels[order], return_counts=True)[1]
    wanted = np.maximum(1, np.round(fraction * sizes))
    return np.asarray(order[cumcount(labels[order]) < np.repeat(wanted, sizes)])


def _of_sets(labels: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    order = rng.permutation(np.flatnonzero(labels.any(1)))
    first: list[int] = []
    seen = np.zeros(labels.shape[1], bool)
    for label in np.argsort(labels.sum(0), kind="stable"):
        holders = order[labels[order, label]]
        if not seen[label] and len(holders):
            first.append(int(holders[0]))
            seen |= labels[holders[0]]
    rest = order[~np.isin(order, first)]
    wanted = max(1, round(fraction * len(order)))
    return np.concatenate([np.array(first, np.int64), rest[: max(0, wanted - len(first))]])
