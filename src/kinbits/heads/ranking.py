"""How well the codes of outputs rank each other."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kinbits import hamming, metrics
from kinbits.heads.base import Head


def rank_outputs(
    queries: tuple[Head, Tensor],
    items: tuple[Head, Tensor],
    relevance: metrics.Relevance,
    names: Sequence[str],
) -> metrics.RankingResult:
    """Measure how the codes of outputs rank those of others: bits by Hamming distance, product codes by tables.

    Args:
        queries: A head, and its outputs for the q queries, float ``(q, outputs)``.
        items: A head of the same kind, and its outputs for the n items, float ``(n, outputs)``.
        relevance: Which items are relevant to which query.
        names: Metric names, for product codes without those within a radius.

    Raises:
        UsageError: If a metric is unknown, or within a radius of product codes.
    """
    head, outputs = queries
    codes = items[0].codes_of(items[1])
    if head.words == hamming.BITS:
        return metrics.evaluate(head.codes_of(outputs), codes, relevance, names)
    return metrics.evaluate_scores(
        lambda start, stop: -hamming.table_distances(head.tables_of(outputs[start:stop]), codes), relevance, names
    )
