"""Measures of graded relevance: discounted gain, mean grades, and precision along a class hierarchy.

All are expected values over random order inside ties: an item of a group is replaced by the group's mean (McSherry and
Najork, ECIR 2008). Every function returns float64 ``(q,)`` for q queries.
"""

from __future__ import annotations

import numpy as np

from kinbits.metrics.groups import Counts, Floats, Groups, ratio
from kinbits.metrics.precision import grade_sum
from kinbits.metrics.sums import discounts


def ndcg(groups: Groups, k: int | None) -> Floats:
    r"""Normalised discounted cumulative gain: \sum (2^g - 1) / log2(1 + rank) over the same sum of the ideal order.

    Both are cut at rank k. (Järvelin and Kekäläinen, TOIS 2002, with the gain of Burges et al., ICML 2005.)
    """
    gains = np.exp2(groups.scale.grades) - 1
    mean = ratio(groups.summed(gains), groups.total)
    found = (mean * discounts(groups.items_before, groups.items_before + groups.kept(k))).sum(axis=1)
    order, until = _ideal(groups)
    before = until - groups.pool[:, order]
    shown = until if k is None else np.minimum(until, k)
    best = discounts(np.minimum(before, shown), shown) @ gains[order]
    return ratio(found, best, empty=np.nan)


def mean_grade(groups: Groups, k: int) -> Floats:
    """Average cumulative gain: mean grade of the first k; places that the database cannot fill count 0."""
    return _grades_until(groups, np.array([k]))[:, 0] / k


def weighted_precision(groups: Groups, k: int | None) -> Floats:
    r"""Weighted average precision: mean over the relevant items of the mean grade up to each. Not bounded by 1.

    \sum_i [item i is relevant] ACG@i / D, with D = R or, cut at rank k, min(R, k). (Zhao et al., CVPR 2015.)
    """
    grades = groups.summed(groups.scale.grades)
    hits = groups.summed(groups.scale.grades * groups.scale.relevant)
    found = grade_sum(groups, grades, k, hits).sum(axis=1)
    most = groups.all_relevant if k is None else np.minimum(groups.all_relevant, k)
    return ratio(found, most, empty=np.nan)


def hierarchical_precision(groups: Groups, k: int) -> Floats:
    """HP@k: summed similarity of the first k over the largest sum of any ranking. (Deng et al., CVPR 2011.)."""
    return _hierarchical(groups, np.array([k]))[:, 0]


def mean_hierarchical_precision(groups: Groups, k: int) -> Floats:
    """MAHP@k: mean of HP@1 ... HP@k; 1 for a perfect ranking."""
    return np.asarray(_hierarchical(groups, np.arange(1, k + 1)).mean(axis=1))


def area_of_hierarchical_precision(groups: Groups, k: int) -> Floats:
    """MAHP@k as Barz and Denzler's code has it: trapezoid rule with step 1/k, at most (k - 1)/k. (WACV 2019.)."""
    curve = _hierarchical(groups, np.arange(1, k + 1))
    return np.asarray((curve[:, 1:] + curve[:, :-1]).sum(axis=1) / (2 * k))


def _hierarchical(groups: Groups, ranks: Counts) -> Floats:
    order, until = _ideal(groups)
    ideal = np.cumsum(groups.pool[:, order] * groups.scale.grades[order], axis=1)
    return ratio(_grades_until(groups, ranks), _interpolated(ranks, until, ideal), empty=np.nan)


def _ideal(groups: Groups) -> tuple[Counts, Counts]:
    """Return the levels from the highest grade down, and the items up to and with each, ``(q, G)``."""
    order = np.argsort(-groups.scale.grades, kind="stable")
    return order, np.cumsum(groups.pool[:, order], axis=1)


def _grades_until(groups: Groups, ranks: Counts) -> Floats:
    """Return the expected sum of grades of the first k items for each k, ``(q, ranks)``."""
    return _interpolated(ranks, groups.items_until, np.cumsum(groups.summed(groups.scale.grades), axis=1))


def _interpolated(ranks: Counts, items: Counts, sums: Floats) -> Floats:
    """Read sums off at any rank: inside a group of items in random order the expected sum grows evenly."""
    rows = zip(items, sums, strict=True)
    return np.array(
        [np.interp(ranks, np.concatenate([[0], at]), np.concatenate([[0.0], value])) for at, value in rows]
    ).reshape(len(items), len(ranks))
