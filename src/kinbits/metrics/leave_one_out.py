"""Relevance where every item of a collection is a query, and must not find itself."""

from __future__ import annotations

import numpy as np

from kinbits import hamming
from kinbits.errors import DataError
from kinbits.metrics.groups import JUNK, Counts
from kinbits.metrics.relevance import Codes, Counter, GradedRelevance, Levels, Relevance, graded


class LeaveOneOut(GradedRelevance):
    """Relevance inside one collection: query i is item i, and item i is taken out of the ranking of query i.

    Args:
        relevance: Relevance of all items to all items, ``queries`` equal to ``database``.

    Raises:
        DataError: If the numbers of queries and items differ.

    Example:
        >>> from kinbits.metrics import LabelRelevance, LeaveOneOut
        >>> labels = [0, 0, 1]
        >>> LeaveOneOut(LabelRelevance(labels, labels)).block(0, 3)
        array([[False,  True, False],
               [ True, False, False],
               [False, False, False]])
    """

    def __init__(self, relevance: Relevance) -> None:
        if relevance.queries != relevance.database:
            raise DataError(
                f"relevance is for {relevance.queries} queries and {relevance.database} items; to leave each item out "
                f"of its own ranking, give the relevance of all items to all items"
            )
        self._whole = graded(relevance)
        self.queries, self.database, self.scale = relevance.queries, relevance.database, self._whole.scale

    @property
    def cells(self) -> int:
        """Those of the whole relevance, and one per item to find the query among them."""
        return self._whole.cells + self.database

    def levels(self, start: int, stop: int) -> Levels:
        """Return the level of every item for queries ``start`` to ``stop``, uint16 ``(stop - start, database)``."""
        found = self._whole.levels(start, stop).copy()
        found[np.arange(len(found)), np.arange(start, start + len(found))] = JUNK
        return found

    def counter(self, queries: Codes, codes: Codes, threads: int | None) -> Counter:
        """Count all items, and take each query away where it found itself."""
        whole = self._whole.counter(queries, codes, threads)

        def counts(start: int, stop: int) -> Counts:
            found = whole(start, stop)
            query, own = np.arange(len(found)), self._whole.own_levels(start, stop)
            apart = hamming.paired_distances(queries[start:stop], codes[start:stop])
            known = own != JUNK
            found[query[known], own[known], apart[known]] -= 1
            return found

        return counts
