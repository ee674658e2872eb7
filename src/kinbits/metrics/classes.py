"""Metrics of the queries of each class, and their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits.errors import DataError
from kinbits.metrics.result import RankingResult, check_bootstrap, percentiles, resampled_means

FEWEST = 5
"""Minimum number of queries of a class for an interval; the bootstrap of fewer is far too narrow."""


@dataclass(frozen=True)
class ClassResult:
    """Metrics of one class.

    Attributes:
        name: The class.
        queries: Its queries that have a relevant item, and so count.
        values: Metric name to the mean over these queries; empty where there are none.
        intervals: Metric name to the bootstrap interval of that mean; empty for fewer than 5 queries.
    """

    name: str
    queries: int
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]


def by_class(
    result: RankingResult,
    query_labels: ArrayLike,
    names: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    samples: int = 10_000,
    seed: int = 0,
) -> list[ClassResult]:
    """Average a result over the queries of each class.

    A query with several labels counts in each of its classes. The relevance stays the one of the result: any shared
    label, not this class alone. The intervals are those of `RankingResult.interval`, over the queries
    of the class. With C classes, about C / 20 of the 95 % intervals miss by chance.

    Args:
        result: What `evaluate` returned for q queries.
        query_labels: int ``(q,)`` class numbers, -1 for unlabelled; or 0/1 multi-hot ``(q, C)``.
        names: Class names, C of them; None for the numbers.
        level: Share of resampled means inside an interval, between 0 and 1.
        samples: How often the queries of a class are drawn again, with replacement.
        seed: Seed of the draws.

    Returns:
        The classes that have a query, in the order of their numbers.

    Raises:
        UsageError: If a number is out of range.
        DataError: If the labels are not those of the result's queries.

    Example:
        >>> import numpy as np
        >>> from kinbits.metrics import LabelRelevance, by_class, evaluate
        >>> codes, labels = np.array([[0], [1], [255]], np.uint8), [0, 1, 1]
        >>> result = evaluate(codes, codes, LabelRelevance(labels, labels), ["precision@2"])
        >>> [(one.name, one.queries, one.values["precision@2"]) for one in by_class(result, labels, ["cat", "dog"])]
        [('cat', 1, 0.5), ('dog', 2, 0.75)]
    """
    check_bootstrap(level, samples)
    labels = np.asarray(query_labels)
    queries = len(next(iter(result.per_query.values())))
    if len(labels) != queries or labels.ndim not in (1, 2):
        raise DataError(
            f"labels have the shape {labels.shape}, but the result has {queries} queries; give (q,) or (q, C)"
        )
    return [_of_class(result, rows, _name(names, number), level, samples, seed) for number, rows in _members(labels)]


def _members(labels: NDArray[Any]) -> list[tuple[int, NDArray[np.int64]]]:
    """Return each class that occurs, and the rows that have it."""
    if labels.ndim == 2:
        return [(number, np.flatnonzero(labels[:, number])) for number in np.flatnonzero(labels.any(axis=0)).tolist()]
    order = np.argsort(labels, kind="stable")
    numbers, starts = np.unique(labels[order], return_index=True)
    members = zip(numbers.tolist(), np.split(order, starts[1:]), strict=True)
    return [(number, rows) for number, rows in members if number >= 0]


def _name(names: Sequence[str] | None, number: int) -> str:
    return str(number) if names is None else str(names[number])


def _of_class(
    result: RankingResult, rows: NDArray[np.int64], name: str, level: float, samples: int, seed: int
) -> ClassResult:
    values, intervals, counted = {}, {}, 0
    for metric, every in result.per_query.items():
        own = every[rows][~np.isnan(every[rows])]
        counted = len(own)
        if counted:
            values[metric] = float(own.mean())
        if counted >= FEWEST:
            intervals[metric] = percentiles(resampled_means(own, samples, seed), level)
    return ClassResult(name, counted, values, intervals)
