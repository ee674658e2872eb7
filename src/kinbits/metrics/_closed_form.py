r"""Ranking metrics from tie groups, without a sort of the items inside a group.

A ranking with ties is a sequence of groups; group g has n_g items, r_g of them relevant, and before it
stand N_g items, P_g of them relevant. With Hamming codes a group is a distance, so one histogram per query
says all there is to know. `Groups` holds these four numbers for a block of queries as arrays (q, groups).

Every function takes the order inside ties as an argument:

- ``expected``: the mean over all orders (McSherry & Najork, ECIR 2008),
- ``best``: relevant items first,
- ``worst``: relevant items last.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from kinbits._errors import UsageError

Ties = Literal["expected", "best", "worst"]
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def check_ties(ties: str) -> None:
    """Refuse an unknown rule for the order inside ties."""
    if ties not in get_args(Ties):
        raise UsageError(f"ties='{ties}' is unknown; choose from {', '.join(get_args(Ties))}")


@dataclass(frozen=True)
class Groups:
    """Tie groups of a block of queries, nearest first.

    Attributes:
        total: Items in each group, int64 ``(q, groups)``; groups may be empty.
        relevant: Relevant items in each group, int64 ``(q, groups)``.
    """

    total: Counts
    relevant: Counts

    @cached_property
    def items_until(self) -> Counts:
        """Items in this group and all nearer ones."""
        return np.cumsum(self.total, axis=1)

    @cached_property
    def hits_until(self) -> Counts:
        """Relevant items in this group and all nearer ones."""
        return np.cumsum(self.relevant, axis=1)

    @property
    def all_relevant(self) -> Counts:
        """R, the relevant items of each query, ``(q,)``."""
        return np.asarray(self.relevant.sum(axis=1))


def average_precision(groups: Groups, k: int | None, ties: Ties) -> Floats:
    r"""Average precision of each query, cut at rank k.

    Expected value, with a group's ranks t = 1..n cut so that N + t <= k:

    E[AP] = 1/D \sum_g r/n \sum_t [P + 1 + (t - 1)(r - 1)/(n - 1)] / (N + t)

    The denominator is D = min(R, k): with the number of hits found, which much published code divides by,
    there is no closed form.

    Args:
        groups: Tie groups of q queries.
        k: Ranks that count; None for all.
        ties: Order inside ties.

    Returns:
        float64 ``(q,)``; NaN for queries without a relevant item.
    """
    n, r = groups.total, groups.relevant
    before, hits_before = groups.items_until - n, groups.hits_until - r
    kept = n if k is None else np.clip(k - before, 0, n)
    summed = {"expected": _expected_sum, "best": _best_sum, "worst": _worst_sum}[ties]
    precision = summed(n, r, before, hits_before, kept).sum(axis=1)
    most = groups.all_relevant if k is None else np.minimum(groups.all_relevant, k)
    return _ratio(precision, most, empty=np.nan)


def hits_at(groups: Groups, k: int, ties: Ties) -> Floats:
    """Relevant items among the k first of each query, float64 ``(q,)``."""
    n, r = groups.total, groups.relevant
    kept = np.clip(k - (groups.items_until - n), 0, n)
    if ties == "expected":
        found = _ratio(r * kept, n)
    else:
        found = (np.minimum(r, kept) if ties == "best" else np.maximum(0, kept - (n - r))).astype(np.float64)
    return np.asarray(found.sum(axis=1))


def precision_at(groups: Groups, k: int, ties: Ties) -> Floats:
    """Share of relevant items in a list of k; places that the database cannot fill count as misses."""
    return hits_at(groups, k, ties) / k


def recall_at(groups: Groups, k: int, ties: Ties) -> Floats:
    """Share of all relevant items that stand in a list of k."""
    return _ratio(hits_at(groups, k, ties), groups.all_relevant, empty=np.nan)


def precision_within(groups: Groups, radius: int) -> Floats:
    """Share of relevant items in a Hamming ball; 0 where the ball is empty."""
    return precision_by_group(groups)[:, _column(groups, radius)]


def recall_within(groups: Groups, radius: int) -> Floats:
    """Share of all relevant items that lie in a Hamming ball."""
    return recall_by_group(groups)[:, _column(groups, radius)]


def empty_ball(groups: Groups, radius: int) -> NDArray[np.bool_]:
    """Whether no item at all lies within the radius, bool ``(q,)``."""
    empty: NDArray[np.bool_] = groups.items_until[:, _column(groups, radius)] == 0
    return empty


def precision_by_group(groups: Groups) -> Floats:
    """Precision of all items up to and with each group, ``(q, groups)``; 0 where there is none."""
    return _ratio(groups.hits_until, groups.items_until)


def recall_by_group(groups: Groups) -> Floats:
    """Recall of all items up to and with each group, ``(q, groups)``."""
    return _ratio(groups.hits_until, groups.all_relevant[:, None], empty=np.nan)


def _column(groups: Groups, radius: int) -> int:
    return min(radius, int(groups.total.shape[1]) - 1)


def _ratio(a: NDArray[np.generic], b: NDArray[np.generic], empty: float = 0.0) -> Floats:
    top, bottom = np.broadcast_arrays(a.astype(np.float64), b.astype(np.float64))
    quotient: Floats = np.full(top.shape, empty)
    np.divide(top, bottom, out=quotient, where=bottom > 0)
    return quotient


def _expected_sum(n: Counts, r: Counts, before: Counts, hits_before: Counts, kept: Counts) -> Floats:
    # sum over t of 1/(N+t), and of (t-1)/(N+t) = 1 - (N+1)/(N+t)
    reciprocal = _harmonic(before, before + kept)
    slope = _ratio(r - 1, n - 1)
    return _ratio(r, n) * ((hits_before + 1) * reciprocal + slope * (kept - (before + 1) * reciprocal))


def _best_sum(n: Counts, r: Counts, before: Counts, hits_before: Counts, kept: Counts) -> Floats:
    # the relevant items take the group's first ranks: hit j stands at rank N + j
    return _run_of_hits(np.minimum(r, kept), before, hits_before)


def _worst_sum(n: Counts, r: Counts, before: Counts, hits_before: Counts, kept: Counts) -> Floats:
    # ... and here its last ranks: hit j stands at rank N + (n - r) + j
    return _run_of_hits(np.maximum(0, kept - (n - r)), before + n - r, hits_before)


def _run_of_hits(length: Counts, before: Counts, hits_before: Counts) -> Floats:
    """Sum the precision (P + j) / (N + j) over hits j = 1..length that follow each other."""
    return length + (hits_before - before) * _harmonic(before, before + length)


def _harmonic(start: Counts, stop: Counts) -> Floats:
    """1/(start+1) + ... + 1/stop, from one table of harmonic numbers."""
    table = np.zeros(int(stop.max(initial=0)) + 1)
    np.cumsum(1.0 / np.arange(1, len(table)), out=table[1:])
    return table[stop] - table[start]
