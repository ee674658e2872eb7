"""A random share of the labels, to hide the others."""

from __future__ import annotations

import numpy as np

from kinbits._util import cumcount
from kinbits.errors import UsageError


def keep_fraction(labels: np.ndarray, fraction: float, seed: int = 0) -> np.ndarray:
    """Choose the rows whose labels are kept: at least this share of them.

    With one label per row, the share of each class is rounded up, so each class keeps at least one row. With sets of
    labels the rows are random, except that every label keeps at least one row (rare labels are served first).

    Args:
        labels: int ``(n,)`` with -1 for unlabelled, or multi-hot ``(n, C)``.
        fraction: Share of the labelled rows, above 0 and up to 1.
        seed: Seed of the choice. With one label per row, a larger fraction keeps the rows of a smaller one and more.

    Returns:
        Which rows are kept, bool ``(n,)``.

    Raises:
        UsageError: If the fraction is out of range.

    Example:
        >>> int(keep_fraction(np.arange(100) % 4, 0.1).sum())  # 2.5 of each class, rounded up
        12
    """
    if not 0 < fraction <= 1:
        raise UsageError(f"labels_fraction is {fraction}; it is a share of the labels above 0 and up to 1, e.g. 0.1")
    rng = np.random.default_rng([seed, 11])
    choose = _rows_of_classes if labels.ndim == 1 else _rows_of_sets
    chosen = choose(labels, fraction, rng)
    kept = np.zeros(len(labels), bool)
    kept[chosen] = True
    return kept


def _at_least(fraction: float, sizes: np.ndarray) -> np.ndarray:
    """Round shares of sizes up, int64 of the same shape; rounding errors of the product do not count."""
    return np.ceil(np.round(fraction * sizes, 9)).astype(np.int64)


def _rows_of_classes(labels: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    order = rng.permutation(np.flatnonzero(labels >= 0))
    order = order[np.argsort(labels[order], kind="stable")]
    sizes = np.unique(labels[order], return_counts=True)[1]
    return np.asarray(order[cumcount(labels[order]) < np.repeat(_at_least(fraction, sizes), sizes)])


def _rows_of_sets(labels: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    sets = labels > 0
    order = rng.permutation(np.flatnonzero(sets.any(1)))
    first: list[int] = []
    seen = np.zeros(sets.shape[1], bool)
    for label in np.argsort(sets.sum(0), kind="stable"):
        rows = order[sets[order, label]]
        if not seen[label] and len(rows):
            first.append(int(rows[0]))
            seen |= sets[rows[0]]
    rest = order[~np.isin(order, first)]
    more = int(_at_least(fraction, np.array(len(order)))) - len(first)
    return np.concatenate([np.array(first, np.int64), rest[: max(0, more)]])
