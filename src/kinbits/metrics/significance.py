"""Test whether one ranking is better than another on the same queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
    reached = _reached(gaps, samples, seed)
    p_value = (1 + reached) / (1 + samples)
    return PairedTest(metric, float(gaps.mean()), float(low), float(high), p_value, len(gaps))


def _reached(gaps: Floats, samples: int, seed: int) -> int:
    """Count the tosses whose mean difference is as large as the observed one, but for rounding."""
    rng = np.random.default_rng(seed)
    bound = abs(gaps.sum()) - 1e-9 * np.abs(gaps).sum()
    step = max(1, _CELLS // max(1, len(gaps)))
    count = 0
    for start in range(0, samples, step):
        signs = rng.integers(0, 2, (min(step, samples - start), len(gaps)), dtype=np.int8) * 2.0 - 1.0
        count += int((np.abs(signs @ gaps) >= bound).sum())
    return count
