r"""Rankings with ties, as all metrics see them: groups of items of which each has a grade.

A ranking with ties is a sequence of groups. Group g has n_g items, r_g of them relevant, and comes after N_g items, P_g
of them relevant. With Hamming codes a group is a distance, so one histogram per query and grade is enough. A strict
ranking has groups of one item. The best or worst order inside ties has groups of one grade. So each metric needs only
one formula.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits._util import lazy

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Levels = NDArray[np.integer]

JUNK = np.iinfo(np.uint16).max
"""The level of items that are taken out of a ranking."""


@dataclass(frozen=True)
class Scale:
    """Grades of the levels of relevance. Level 0 is the level of all items without a known relevance.

    Attributes:
        grades: Grade of each level, e.g. the number of shared labels, float64 ``(G,)``.
        relevant: Which levels count as relevant in metrics without grades, bool ``(G,)``.
    """

    grades: Floats
    relevant: NDArray[np.bool_]

    @classmethod
    def from_grades(cls, grades: ArrayLike, relevant: NDArray[np.bool_] | None = None) -> Scale:
        """Make a scale; if ``relevant`` is None, levels with a grade above 0 are relevant."""
        values = np.asarray(grades, np.float64)
        return cls(values, values > 0 if relevant is None else relevant)


@dataclass(frozen=True)
class Groups:
    """Groups of a block of q queries, nearest first. Items inside a group are in random order.

    Attributes:
        total: Items in each group, int64 ``(q, groups)``; groups may be empty.
        relevant: Relevant items in each group, int64 ``(q, groups)``.
        pool: Items of each level in the whole ranking, int64 ``(q, G)``.
        scale: Grades of the levels.
        summed: Turns one value per level, ``(G,)``, into the sum over the items of each group, ``(q, groups)``.
    """

    total: Counts
    relevant: Counts
    pool: Counts
    scale: Scale
    summed: Callable[[Floats], Floats]

    @classmethod
    def from_counts(cls, counts: Counts, scale: Scale) -> Groups:
        """Make groups from counts of items by level and distance, int64 ``(q, G, groups)``."""

        def summed(values: Floats) -> Floats:
            return np.asarray(np.einsum("qgd,g->qd", counts, values))

        relevant = counts[:, scale.relevant].sum(axis=1)
        return cls(counts.sum(axis=1), relevant, counts.sum(axis=2), scale, summed)

    @classmethod
    def from_ordered_counts(cls, counts: Counts, scale: Scale, *, best: bool) -> Groups:
        """Order the items inside each tie by grade, so that a group becomes one group per level."""
        order = np.lexsort((scale.grades, scale.relevant))
        order = order[::-1] if best else order
        total = np.ascontiguousarray(counts[:, order].transpose(0, 2, 1)).reshape(len(counts), -1)
        levels = np.tile(order, counts.shape[2])
        return cls._of_one_level(total, levels, counts.sum(axis=2), scale)

    @classmethod
    def from_rankings(cls, levels: Levels, scale: Scale) -> Groups:
        """Make groups of one item each from the levels of a ranking, ``(q, n)``; those of `JUNK` are empty."""
        kept = levels != JUNK
        known = np.where(kept, levels, 0)
        pool = np.stack([((known == level) & kept).sum(axis=1) for level in range(len(scale.grades))], axis=1)
        return cls._of_one_level(kept.astype(np.int64), known, pool, scale)

    @classmethod
    def _of_one_level(cls, total: Counts, levels: Levels, pool: Counts, scale: Scale) -> Groups:
        return cls(total, total * scale.relevant[levels], pool, scale, lambda values: total * values[levels])

    @lazy
    def items_until(self) -> Counts:
        """Items in this group and all nearer ones."""
        return np.cumsum(self.total, axis=1)

    @lazy
    def items_before(self) -> Counts:
        """Items in all nearer groups, N."""
        return self.items_until - self.total

    @lazy
    def hits_until(self) -> Counts:
        """Relevant items in this group and all nearer ones."""
        return np.cumsum(self.relevant, axis=1)

    @lazy
    def hits_before(self) -> Counts:
        """Relevant items in all nearer groups, P."""
        return self.hits_until - self.relevant

    @lazy
    def all_relevant(self) -> Counts:
        """R, the relevant items of each query, ``(q,)``."""
        return np.asarray(self.relevant.sum(axis=1))

    def kept(self, k: int | Counts | None) -> Counts:
        """Number of items of each group among the first k; k may differ by query, ``(q, 1)``; None keeps all."""
        return self.total if k is None else np.clip(k - self.items_before, 0, self.total)


def ratio(a: NDArray[np.generic], b: NDArray[np.generic], empty: float = 0.0) -> Floats:
    """Divide; ``empty`` where the divisor is not above 0."""
    top, bottom = np.broadcast_arrays(a.astype(np.float64), b.astype(np.float64))
    quotient: Floats = np.full(top.shape, empty)
    np.divide(top, bottom, out=quotient, where=bottom > 0)
    return quotient
