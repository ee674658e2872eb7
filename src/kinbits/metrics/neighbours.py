"""Recall of the true nearest neighbours. The field calls two measures by one name; here each has its own."""

from __future__ import annotations

import numpy as np

from kinbits.errors import UsageError
from kinbits.metrics.groups import Floats, Groups, ratio


def neighbour_recall(groups: Groups, k: int) -> Floats:
    """``ann-recall@k``: share of the k true neighbours among the first k."""
    known = len(groups.scale.grades) - 1
    if k > known:
        raise UsageError(f"ann-recall@{k} needs {k} true neighbours of each query, but {known} are given")
    return _found(groups, k, k) / k


def nearest_recall(groups: Groups, k: int) -> Floats:
    """``1-recall@k``: whether the true nearest neighbour is among the first k."""
    return _found(groups, 1, k)


def _found(groups: Groups, true: int, k: int) -> Floats:
    level = np.arange(len(groups.scale.grades))
    wanted = groups.summed(((level >= 1) & (level <= true)).astype(np.float64))
    return np.asarray(ratio(wanted * groups.kept(k), groups.total).sum(axis=1))
