"""What a report page shows besides the numbers: examples, confused classes, statistics of the codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinbits import hamming, metrics
from kinbits.evaluation.report.examples import NEIGHBOURS, Confusion, Example, confusion, examples
from kinbits.evaluation.searches import Search


@dataclass(frozen=True)
class Details:
    """What a page shows besides the tables of numbers.

    Attributes:
        best: Queries with the highest average precision.
        worst: Queries with the lowest.
        confusion: Classes among the first ten hits; None for several labels per item.
        statistics: Of the database's codes; None for product codes.
    """

    best: Sequence[Example]
    worst: Sequence[Example]
    confusion: Confusion | None
    statistics: metrics.CodeStatistics | None


def details_of(search: Search, bits: int) -> Details:
    """Choose examples, count confusions, and measure the codes.

    Args:
        search: The search of the report's first row.
        bits: Code length.
    """
    queries, items, codes = search.queries, search.items, search.codes
    scores = search.measure(["map@all"]).per_query["map@all"]
    best, worst = examples(search, scores)
    _, nearest = search.nearest(np.arange(len(codes[0])), NEIGHBOURS)
    statistics = None
    if search.words == hamming.BITS:
        statistics = metrics.code_statistics(codes[1], bits, items.labels, queries=codes[0])
    return Details(best, worst, confusion(queries, items, nearest), statistics)
