"""Precision-recall curves: macro means over the queries, by radius or by rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits._errors import DataError, UsageError
from kinbits.metrics import _closed_form as closed
from kinbits.metrics._closed_form import Floats, Groups, Ties
from kinbits.metrics._ranking import code_groups
from kinbits.metrics._relevance import Relevance


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """One point per position.

    Attributes:
        by: ``"radius"`` or ``"rank"``.
        positions: The radii 0, 1, ... or the list lengths, int64 ``(p,)``.
        precision: Mean precision over the queries, float64 ``(p,)``; an empty ball counts 0.
        recall: Mean recall over the queries, float64 ``(p,)``.
    """

    by: Literal["radius", "rank"]
    positions: NDArray[np.int64]
    precision: Floats
    recall: Floats


def precision_recall_curve(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    relevance: Relevance,
    *,
    by: Literal["radius", "rank"] = "radius",
    ranks: Sequence[int] | None = None,
    ties: Ties = "expected",
) -> PrecisionRecallCurve:
    """Draw precision against recall, averaged over the queries that have a relevant item.

    Args:
        query_codes: uint8 ``(q, w)``, packed.
        database_codes: uint8 ``(n, w)``, packed.
        relevance: Which items are relevant to which query.
        by: ``"radius"``: one point per Hamming radius 0..8w. ``"rank"``: one point per list length.
        ranks: The list lengths; 100 of them, evenly spaced in the logarithm, if not given.
        ties: Order inside ties, for ``by="rank"``.

    Raises:
        UsageError: for another ``by``, or a list length below 1.
        DataError: if the arrays do not fit, or no query has a relevant item.
    """
    closed.check_ties(ties)
    if by not in ("radius", "rank"):
        raise UsageError(f"by='{by}' is unknown; choose radius or rank")
    lengths = _ranks(ranks, relevance.database)
    precision: list[Floats] = []
    recall: list[Floats] = []
    for _, groups in code_groups(query_codes, database_codes, relevance):
        kept = _answerable(groups)
        p, r = _by_radius(kept) if by == "radius" else _by_rank(kept, lengths, ties)
        precision.append(p)
        recall.append(r)
    if not sum(map(len, precision)):
        raise DataError("no query has a relevant item in the database; check the labels of both")
    mean_precision, mean_recall = np.concatenate(precision).mean(axis=0), np.concatenate(recall).mean(axis=0)
    positions = np.arange(len(mean_precision)) if by == "radius" else lengths
    return PrecisionRecallCurve(by, positions, mean_precision, mean_recall)


def _ranks(ranks: Sequence[int] | None, database: int) -> NDArray[np.int64]:
    if ranks is None:
        return np.unique(np.geomspace(1, max(1, database), 100).round().astype(np.int64))
    lengths = np.asarray(ranks, dtype=np.int64)
    if lengths.size == 0 or lengths.min() < 1:
        raise UsageError("ranks must be list lengths of 1 or more")
    return lengths


def _answerable(groups: Groups) -> Groups:
    rows = groups.all_relevant > 0
    return Groups(groups.total[rows], groups.relevant[rows])


def _by_radius(groups: Groups) -> tuple[Floats, Floats]:
    return closed.precision_by_group(groups), closed.recall_by_group(groups)


def _by_rank(groups: Groups, ranks: NDArray[np.int64], ties: Ties) -> tuple[Floats, Floats]:
    hits = np.stack([closed.hits_at(groups, int(k), ties) for k in ranks], axis=1)
    return hits / ranks, hits / groups.all_relevant[:, None]
