r"""Measures of relevant or not: average precision, precision, recall, hits.

All are expected values over random order inside ties, in closed form (McSherry and Najork, ECIR 2008; sums over
ranks and groups as in `Groups`). Every function returns float64 ``(q,)`` for q queries; queries without a relevant
item get NaN where the measure divides by their number.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from kinbits.metrics.groups import Counts, Floats, Groups, ratio
from kinbits.metrics.sums import harmonic

Denominator = Literal["min", "all", "retrieved"]


def average_precision(groups: Groups, k: int | None, denominator: Denominator = "min") -> Floats:
    r"""Average precision, cut at rank k.

    E[AP] = 1/D \sum_g r/n \sum_t [P + 1 + (t - 1)(r - 1)/(n - 1)] / (N + t), with t = 1..n cut so that N + t <= k.

    Args:
        groups: The rankings.
        k: Ranks that count; None for all.
        denominator: D: ``"min"`` is min(R, k), ``"all"`` is R, ``"retrieved"`` the hits found, which is random itself.
    """
    if denominator == "retrieved" and k is not None:
        return _of_retrieved(groups, k)
    found = grade_sum(groups, np.asarray(groups.relevant, np.float64), k).sum(axis=1)
    most = groups.all_relevant
    return ratio(found, most if k is None or denominator == "all" else np.minimum(most, k), empty=np.nan)


def grade_sum(groups: Groups, grades: Floats, k: int | None, of_hits: Floats | None = None) -> Floats:
    r"""Expected sum, over the relevant items of each group, of the mean grade of all items up to and with them.

    The relevant item i has each place t of its group with probability 1/n, after t - 1 other items of the group:
    1/n \sum_t \sum_i [C + g_i + (t - 1)(S - g_i)/(n - 1)] / (N + t), where S sums the group's grades and C those of all
    nearer groups. With grades 0 and 1 this is the sum of precisions.

    Args:
        groups: The rankings.
        grades: Sum of the grades in each group, ``(q, groups)``.
        k: Ranks that count; None for all.
        of_hits: The same of its relevant items; None if others have the grade 0.
    """
    n, r, before = groups.total, groups.relevant, groups.items_before
    own = grades if of_hits is None else of_hits
    kept = np.where(r > 0, groups.kept(k), 0)  # other groups add nothing
    reciprocal = harmonic(before, before + kept)
    nearer = np.cumsum(grades, axis=1) - grades
    slope = ratio(r * grades - own, n - 1)
    # the sum over t of 1/(N+t), and of (t-1)/(N+t) = 1 - (N+1)/(N+t)
    return ratio((r * nearer + own) * reciprocal + slope * (kept - (before + 1) * reciprocal), n)


def trapezoid_precision(groups: Groups, k: None = None) -> Floats:
    r"""Average precision by the trapezoid rule, of revisited Oxford and Paris (Radenović et al., CVPR 2018).

    1/R \sum_j 1/2 [j/rank_j + (j + 1)/(rank_j + 1)] over hits j = 0, 1, ..., with rank_j from 0 and a first term of 1
    at rank 0. Restated from the authors' ``evaluate.py``; here the expectation over ties.
    """
    n, r, before, hits = groups.total, groups.relevant, groups.items_before, groups.hits_before
    after = grade_sum(groups, np.asarray(r, np.float64), None)
    first = np.where(before == 0, 1.0, ratio(hits, before))  # the group's rank t = 1
    others = np.maximum(n - 1, 0)  # t - 1 = u = 1 .. n-1: (P + u a) / (N + u)
    slope = ratio(r - 1, n - 1)
    reciprocal = harmonic(before, before + others)
    precision = first + hits * reciprocal + slope * (others - before * reciprocal)
    return ratio((after + ratio(r, n) * precision).sum(axis=1), 2 * groups.all_relevant, empty=np.nan)


def hits_at(groups: Groups, k: int | Counts) -> Floats:
    """Relevant items among the first k; k may differ by query, ``(q,)``."""
    kept = groups.kept(k if isinstance(k, int) else np.asarray(k)[:, None])
    return np.asarray(ratio(groups.relevant * kept, groups.total).sum(axis=1))


def precision_at(groups: Groups, k: int) -> Floats:
    """Share of relevant items in a list of k; places that the database cannot fill count as misses."""
    return hits_at(groups, k) / k


def recall_at(groups: Groups, k: int) -> Floats:
    """Share of all relevant items in a list of k."""
    return ratio(hits_at(groups, k), groups.all_relevant, empty=np.nan)


def r_precision(groups: Groups, k: None = None) -> Floats:
    """Precision of a list as long as there are relevant items."""
    return ratio(hits_at(groups, groups.all_relevant), groups.all_relevant, empty=np.nan)


def precision_within(groups: Groups, radius: int) -> Floats:
    """Share of relevant items in a Hamming ball; 0 where the ball is empty."""
    column = _column(groups, radius)
    return ratio(groups.hits_until[:, column], groups.items_until[:, column])


def recall_within(groups: Groups, radius: int) -> Floats:
    """Share of all relevant items in a Hamming ball."""
    return ratio(groups.hits_until[:, _column(groups, radius)], groups.all_relevant, empty=np.nan)


def f1_within(groups: Groups, radius: int) -> Floats:
    """Harmonic mean of precision and recall in a Hamming ball, 2 hits / (items in the ball + R)."""
    column = _column(groups, radius)
    return ratio(2 * groups.hits_until[:, column], groups.items_until[:, column] + groups.all_relevant)


def empty_ball(groups: Groups, radius: int) -> np.ndarray:
    """Whether no item at all is within the radius, bool ``(q,)``."""
    return np.asarray(groups.items_until[:, _column(groups, radius)] == 0)


def _column(groups: Groups, radius: int) -> int:
    return min(radius, int(groups.total.shape[1]) - 1)


def _of_retrieved(groups: Groups, k: int) -> Floats:
    """Average precision over the number of hits found: exact, by summing over what the cut group may give.

    Let m of the n items in the group at rank k be kept, x of them relevant: x is hypergeometric, nearer groups do not
    depend on it, and given x the kept items are in random order again. Queries that find nothing count 0.
    """
    values = np.zeros(len(groups.total))
    nearer = grade_sum(groups, np.asarray(groups.relevant, np.float64), None)
    last = np.minimum((groups.items_until < k).sum(axis=1), groups.total.shape[1] - 1)
    for query, column in enumerate(last):
        before, hits = (int(a[query, column]) for a in (groups.items_before, groups.hits_before))
        n, r = int(groups.total[query, column]), int(groups.relevant[query, column])
        kept = min(n, k - before)
        x, probability = _hypergeometric(n, r, kept)
        reciprocal = float(harmonic(np.array(before), np.array(before + kept)))
        slope = (x - 1) / max(kept - 1, 1)
        inside = x / max(kept, 1) * ((hits + 1) * reciprocal + slope * (kept - (before + 1) * reciprocal))
        found = ratio(nearer[query, :column].sum() + inside, hits + x)
        values[query] = probability @ found
    return np.where(groups.all_relevant > 0, values, np.nan)


def _hypergeometric(n: int, r: int, kept: int) -> tuple[Floats, Floats]:
    """Return how many of r relevant items ``kept`` of n may hold, with probabilities."""
    x = np.arange(max(0, kept - (n - r)), min(r, kept) + 1, dtype=np.float64)
    step = np.log((r - x[:-1]) * (kept - x[:-1])) - np.log((x[:-1] + 1) * (n - r - kept + x[:-1] + 1))
    logarithm = np.concatenate([[0.0], np.cumsum(step)])
    weight = np.exp(logarithm - logarithm.max())
    return x, weight / weight.sum()
