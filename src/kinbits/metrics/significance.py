"""Test whether one ranking is better than another on the same queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from kinbits.errors import DataError, unknown_name
from kinbits.metrics.groups import Floats
from kinbits.metrics.result import RankingResult, check_bootstrap, percentiles, resampled_means

_CELLS = 1 << 22  # signs drawn at one time


@dataclass(frozen=True)
class PairedTest:
    """Outcome of `compare`.

    Attributes:
        metric: What was compared.
        difference: Mean of the first result minus that of the second.
        low: Lower end of the bootstrap interval of the difference.
        high: Upper end.
        p_value: Probability of a difference at least as large, in either direction, if the two are exchangeable.
        queries: Number of queries that count in both.
    """

    metric: str
    difference: float
    low: float
    high: float
    p_value: float
    queries: int

    def __str__(self) -> str:
        return (
            f"{self.metric}: {self.difference:+.4f} [{self.low:+.4f}, {self.high:+.4f}], p = {self.p_value:.4g}, "
            f"{self.queries} {'query' if self.queries == 1 else 'queries'}"
        )


def compare(
    a: RankingResult, b: RankingResult, metric: str, *, level: float = 0.95, samples: int = 10_000, seed: int = 0
) -> PairedTest:
    """Compare two results on the same queries by a paired randomization test.

    If it made no difference which of the two answered a query, the sign of each query's difference would be a coin's
    toss; the p-value is the share of tosses that reach the observed mean difference, two-sided, with the observed one
    among them so that it is never 0 (Phipson and Smyth, 2010). Smucker, Allan and Carterette (CIKM 2007) recommend
    this test for retrieval over the sign and the Wilcoxon test, which look at signs and ranks and may call another
    difference significant than that of the means. The interval is the percentile bootstrap over queries.

    Args:
        a: One result.
        b: Another of the same queries in the same order.
        metric: A metric of both.
        level: Level of the interval.
        samples: Tosses, and bootstrap draws.
        seed: Seed of both.

    Raises:
        UsageError: If the metric was not measured in both, or a number is out of range.
        DataError: If the two do not count the same queries.

    Example:
        >>> import numpy as np
        >>> from kinbits.metrics import MatrixRelevance, compare, evaluate
        >>> codes, relevance = np.array([[0], [1], [3]], np.uint8), MatrixRelevance(np.eye(3, dtype=bool))
        >>> good, bad = (evaluate(q, codes, relevance, ["mrr"]) for q in (codes, codes[::-1].copy()))
        >>> print(compare(good, bad, "mrr"))
        mrr: +0.4444 [+0.0000, +0.6667], p = 0.5022, 3 queries
    """
    for result in (a, b):
        if metric not in result.per_query:
            raise unknown_name("metric", metric, set(a.per_query) & set(b.per_query), place="of both results")
    check_bootstrap(level, samples)
    one, two = a.per_query[metric], b.per_query[metric]
    if len(one) != len(two) or not np.array_equal(np.isnan(one), np.isnan(two)):
        raise DataError("the two results count different queries; evaluate both on the same queries and labels")
    gaps = (one - two)[~np.isnan(one)]
    low, high = percentiles(resampled_means(gaps, samples, seed), level)
    (p_value,) = _p_values(gaps[:, None], samples, seed)
    return PairedTest(metric, float(gaps.mean()), float(low), float(high), float(p_value), len(gaps))


def compare_many(values: ArrayLike, others: ArrayLike, *, samples: int = 10_000, seed: int = 0) -> Floats:
    """Compare one method with several on the same queries; the test is that of `compare`, corrected for their number.

    Holm's correction (Scandinavian Journal of Statistics, 1979) multiplies the smallest of k p-values by k, the next
    by k - 1, and so on; none gets below the one before. Then the chance of one or more false differences in the whole
    family is at most the level that the values are compared with.

    Args:
        values: The one method's value of each query, ``(q,)``; NaN for queries that do not count.
        others: The values of k others, ``(k, q)``, with NaN in the same places.
        samples: Tosses; the same ones for all methods.
        seed: Seed of the tosses.

    Returns:
        Corrected p-values, float64 ``(k,)``.

    Raises:
        UsageError: If ``samples`` is below 1.
        DataError: If the shapes do not fit, a value is infinite, or the methods do not count the same queries.

    Example:
        >>> import numpy as np
        >>> best = np.linspace(0.2, 0.9, 50)
        >>> compare_many(best, np.stack([best - 0.01, best[::-1]])).round(2).tolist()
        [0.0, 1.0]
    """
    check_bootstrap(0.95, samples)
    one, many = np.asarray(values, np.float64), np.asarray(others, np.float64)
    if one.ndim != 1 or many.ndim != 2:
        raise DataError(f"the values are {one.shape} and those of others {many.shape}; give (q,) and (k, q)")
    if np.isinf(one).any() or np.isinf(many).any():
        raise DataError("a value of a query is infinite; give finite numbers, or NaN for queries that do not count")
    if many.shape[1:] != one.shape or (np.isnan(many) != np.isnan(one)).any():
        raise DataError("the methods count different queries; evaluate all on the same queries and labels")
    gaps = (one - many)[:, ~np.isnan(one)]
    return _holm(_p_values(gaps.T, samples, seed))


def _holm(p_values: Floats) -> Floats:
    order = np.argsort(p_values)
    corrected = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    return np.asarray(np.minimum(corrected, 1)[np.argsort(order)])


def _p_values(gaps: Floats, samples: int, seed: int) -> Floats:
    """Return the share of tosses whose mean difference reaches the observed one, but for rounding.

    Args:
        gaps: Differences of queries, ``(q, k)``.
        samples: Tosses.
        seed: Seed of the tosses.

    Returns:
        One p-value for each of the k columns.
    """
    rng = np.random.default_rng(seed)
    bounds = np.abs(gaps.sum(axis=0)) - 1e-9 * np.abs(gaps).sum(axis=0)
    step = max(1, _CELLS // max(1, len(gaps)))
    reached = np.zeros(gaps.shape[1])
    for start in range(0, samples, step):
        signs = rng.integers(0, 2, (min(step, samples - start), len(gaps)), dtype=np.int8) * 2.0 - 1.0
        reached += (np.abs(signs @ gaps) >= bounds).sum(axis=0)
    return (1 + reached) / (1 + samples)
