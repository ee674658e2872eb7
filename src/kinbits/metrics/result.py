"""The result of an evaluation: means over queries, and their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kinbits.errors import UsageError, unknown_name
from kinbits.metrics.groups import Floats

Ties = Literal["expected", "best", "worst", "stable", "random"]

_PAIRS = 1 << 22  # drawn at one time


@dataclass(frozen=True, repr=False)
class RankingResult(Mapping[str, float]):
    """Means over the queries, by metric name; behaves as a read-only dict.

    Attributes:
        per_query: Each metric's values, float64 ``(q,)``, NaN for excluded queries.
        excluded: Queries without any relevant item; they are left out of every mean, unless a legacy definition
            says otherwise.
        empty_balls: For each ``@r`` metric, the share of counted queries with nothing within the radius.
        ties: The order inside ties that was assumed.
        legacy: Name of the legacy definition that was used; None for those of `parse_metric`.
    """

    per_query: dict[str, Floats]
    excluded: int
    empty_balls: dict[str, float]
    ties: str
    legacy: str | None = None

    def __getitem__(self, name: str) -> float:
        values = self.per_query[name]
        return float(np.mean(values, where=~np.isnan(values)))

    def __iter__(self) -> Iterator[str]:
        return iter(self.per_query)

    def __len__(self) -> int:
        return len(self.per_query)

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name}={value:.4f}" for name, value in self.items())
        legacy = f", legacy={self.legacy}" if self.legacy else ""
        return f"RankingResult({numbers}, ties={self.ties}{legacy}, excluded={self.excluded})"

    def counted(self, name: str) -> Floats:
        """Return a metric's values of the queries that count, float64 ``(m,)``.

        Raises:
            UsageError: If the metric was not measured.
        """
        if name not in self.per_query:
            raise unknown_name("metric", name, self.per_query, place="of this result")
        values = self.per_query[name]
        return values[~np.isnan(values)]

    def interval(self, name: str, *, level: float = 0.95, samples: int = 10_000, seed: int = 0) -> tuple[float, float]:
        """Return the confidence interval of a metric, for other queries of the same kind.

        The percentile bootstrap over queries (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter
        13; for retrieval: Sakai, SIGIR 2006). It does not cover other seeds or training sets.

        Args:
            name: A metric of this result.
            level: Share of resampled means inside the interval, between 0 and 1.
            samples: How often the queries are drawn again, with replacement.
            seed: Seed of the draws.

        Raises:
            UsageError: If the metric was not measured, or a number is out of range.
        """
        check_bootstrap(level, samples)
        return percentiles(resampled_means(self.counted(name), samples, seed), level)


def check_bootstrap(level: float, samples: int) -> None:
    """Refuse a level or a number of draws that no bootstrap can use."""
    if not 0 < level < 1 or samples < 1:
        raise UsageError(f"level={level}, samples={samples}: give a level between 0 and 1, and 1 sample or more")


def percentiles(drawn: Floats, level: float) -> tuple[float, float]:
    """Return the central interval that holds a share of the draws; NaN does not count."""
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resampled_means(values: Floats, samples: int, seed: int) -> Floats:
    """Return the means of ``samples`` draws with replacement from the values, float64 ``(samples,)``."""
    rng = np.random.default_rng(seed)
    step = max(1, _PAIRS // max(1, len(values)))
    parts = [
        values[rng.integers(0, len(values), (min(step, samples - start), len(values)))].mean(axis=1)
        for start in range(0, samples, step)
    ]
    return np.concatenate(parts)
