"""Gather what a report page shows beside the numbers."""

from __future__ import annotations

from kinbits import hamming, metrics
from kinbits.data import Dataset
from kinbits.evaluation.report.examples import NEIGHBOURS, confusion, examples
from kinbits.evaluation.report.page import Details


def gather(
    queries: Dataset,
    items: Dataset,
    codes: tuple[hamming.Codes, hamming.Codes],
    bits: int,
    relevance: metrics.Relevance,
) -> Details:
    """Choose examples, count confusions, and measure the codes.

    Args:
        queries: What was searched with.
        items: What was searched in.
        codes: Of both, uint8 ``(q, w)`` and ``(n, w)``.
        bits: Code length.
        relevance: Which items are relevant to which query.
    """
    scores = metrics.evaluate(*codes, relevance, ["map@all"]).per_query["map@all"]
    best, worst = examples(queries, items, codes, scores, relevance)
    _, nearest = hamming.topk(*codes, NEIGHBOURS)
    found = metrics.code_statistics(codes[1], bits, items.labels, queries=codes[0])
    return Details(best, worst, confusion(queries, items, nearest), found)
