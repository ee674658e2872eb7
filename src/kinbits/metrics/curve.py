"""Precision-recall curves: means over the queries, by radius or by rank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits.errors import DataError, UsageError
from kinbits.metrics.groups import Counts, Floats, Groups, ratio
from kinbits.metrics.precision import hits_at
from kinbits.metrics.ranking import CELLS, Block, ScoreBlock, checked, code_blocks, score_blocks
from kinbits.metrics.relevance import Relevance, graded
from kinbits.metrics.result import Ties

By = Literal["radius", "rank"]
Average = Literal["macro", "micro"]


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """One point per position.

    Attributes:
        by: ``"radius"`` or ``"rank"``.
        positions: The radii 0, 1, ... or the list lengths, int64 ``(p,)``.
        precision: Mean precision over the queries, float64 ``(p,)``; an empty ball counts 0.
        recall: Mean recall over the queries, float64 ``(p,)``.
    """

    by: By
    positions: NDArray[np.int64]
    precision: Floats
    recall: Floats


def precision_recall_curve(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    relevance: Relevance,
    *,
    by: By = "radius",
    ranks: Sequence[int] | None = None,
    average: Average = "macro",
    ties: Ties = "expected",
    seed: int = 0,
    threads: int | None = None,
    cells: int = CELLS,
) -> PrecisionRecallCurve:
    """Draw precision against recall, averaged over the queries that have a relevant item.

    Args:
        query_codes: uint8 ``(q, w)``, packed.
        database_codes: uint8 ``(n, w)``, packed.
        relevance: Which items are relevant to which query.
        by: ``"radius"``: one point per Hamming radius 0..8w. ``"rank"``: one point per list length.
        ranks: The list lengths; 100 of them, evenly spaced in the logarithm, if not given.
        average: ``"macro"``: mean of each query's precision and recall. ``"micro"``: hits, list lengths and relevant
            items of all queries are summed first, as DCMH's ``calcPreRecRadiusLabel.m`` does.
        ties: Order inside ties, for ``by="rank"``; as in `evaluate`.
        seed: For ``ties="random"``.
        threads: Number of threads; as in `evaluate`.
        cells: Numbers held at one time; as in `evaluate`.

    Raises:
        UsageError: If ``by`` or ``average`` is another one, or a list length is below 1.
        DataError: If the arrays do not fit, or no query has a relevant item.
    """
    if by not in ("radius", "rank"):
        raise UsageError(f"by='{by}' is unknown; choose radius or rank")
    if average not in ("macro", "micro"):
        raise UsageError(f"average='{average}' is unknown; choose macro or micro")
    codes = checked(query_codes, database_codes, relevance)
    return _curve(code_blocks(*codes, ties, seed, threads, cells), by, _ranks(ranks, relevance.database), average)


def score_curve(
    score_block: ScoreBlock, relevance: Relevance, *, ranks: Sequence[int] | None = None
) -> PrecisionRecallCurve:
    """Draw precision against recall of a ranking by real-valued scores, one point per list length.

    Args:
        score_block: As in `evaluate_scores`.
        relevance: Which items are relevant to which query.
        ranks: As in `precision_recall_curve`.

    Raises:
        UsageError: If a list length is below 1.
        DataError: If the scores do not fit or hold NaN, or no query has a relevant item.
    """
    blocks = score_blocks(score_block, graded(relevance), "expected", 0)
    return _curve(blocks, "rank", _ranks(ranks, relevance.database), "macro")


def _curve(blocks: Iterable[Block], by: By, lengths: NDArray[np.int64], average: Average) -> PrecisionRecallCurve:
    hits, items, relevant = [], [], []
    for block in blocks:
        kept = block.groups.all_relevant > 0
        found, taken = _by_radius(block.near) if by == "radius" else _by_rank(block.groups, lengths)
        hits.append(found[kept])
        items.append(taken[kept])
        relevant.append(block.groups.all_relevant[kept])
    if not sum(map(len, hits)):
        raise DataError("no query has a relevant item in the database; check the labels of both")
    precision, recall = _averaged(np.concatenate(hits), np.concatenate(items), np.concatenate(relevant), average)
    return PrecisionRecallCurve(by, np.arange(len(precision)) if by == "radius" else lengths, precision, recall)


def _averaged(hits: Floats, items: Counts, relevant: Counts, average: Average) -> tuple[Floats, Floats]:
    if average == "micro":
        return ratio(hits.sum(axis=0), items.sum(axis=0)), np.asarray(hits.sum(axis=0) / relevant.sum())
    return np.asarray(ratio(hits, items).mean(axis=0)), np.asarray((hits / relevant[:, None]).mean(axis=0))


def _ranks(ranks: Sequence[int] | None, database: int) -> NDArray[np.int64]:
    if ranks is None:
        return np.unique(np.geomspace(1, max(1, database), 100).round().astype(np.int64))
    lengths = np.asarray(ranks, dtype=np.int64)
    if lengths.size == 0 or lengths.min() < 1:
        raise UsageError("ranks must be list lengths of 1 or more")
    return lengths


def _by_radius(groups: Groups) -> tuple[Floats, Counts]:
    return groups.hits_until.astype(np.float64), groups.items_until


def _by_rank(groups: Groups, ranks: NDArray[np.int64]) -> tuple[Floats, Counts]:
    hits = np.stack([hits_at(groups, int(k)) for k in ranks], axis=1)
    return hits, np.broadcast_to(ranks, hits.shape)
