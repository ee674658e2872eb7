r"""The radius that meets a target, chosen on half of the queries and measured on the other half.

For a radius r, counted over all pairs (query, item) of some queries Q together::

    precision(r) = relevant pairs with d <= r / pairs with d <= r
    recall(r)    = relevant pairs with d <= r / relevant pairs

Queries without a relevant item count too: all their pairs are wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits.errors import DataError, UsageError, unknown_name
from kinbits.metrics.groups import Counts, Floats, ratio
from kinbits.metrics.ranking import checked, code_blocks
from kinbits.metrics.relevance import Relevance
from kinbits.metrics.result import check_bootstrap, percentiles, resampled_means

Measure = Literal["precision", "recall"]
_EXAMPLES = "e.g. precision=0.95 or recall=0.9"


@dataclass(frozen=True)
class Target:
    """What an operating point has to reach.

    Attributes:
        measure: ``"precision"`` or ``"recall"``.
        value: Above 0, at most 1.
    """

    measure: Measure
    value: float

    def __str__(self) -> str:
        return f"{self.measure}={self.value:g}"


def parse_target(text: str) -> Target:
    """Read a target such as ``precision=0.95``.

    Raises:
        UsageError: If the text is no target.
    """
    measure, equals, number = (part.strip() for part in text.lower().partition("="))
    if not equals:
        raise UsageError(f"operating point '{text}' cannot be read; write {_EXAMPLES}")
    if measure not in get_args(Measure):
        raise unknown_name("measure of an operating point", measure, get_args(Measure))
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if not 0 < value <= 1:
        raise UsageError(f"operating point '{text}': give a number above 0 and at most 1, {_EXAMPLES}")
    return Target(measure, value)  # type: ignore[arg-type]


@dataclass(frozen=True)
class OperatingPoint:
    """A radius, and how it does on queries that had no part in choosing it.

    Attributes:
        target: What was to be reached, e.g. ``"precision=0.95"``.
        radius: Maximum Hamming distance of a hit; None if no radius reaches the target.
        chosen_on: Queries that the radius was chosen on.
        chosen_value: The target's measure over them at the radius; if no radius reaches the target, the highest value.
        queries: Held-out queries, on which everything below was measured.
        pairs: Pairs of these queries with items within the radius.
        precision: Share of relevant ones among these pairs; None if there are no pairs.
        recall: Share of all relevant pairs within the radius; None if nothing is relevant.
        precision_interval: Its bootstrap interval over the held-out queries.
        recall_interval: The same of recall.
        seed: Seed of the halves.
    """

    target: str
    radius: int | None
    chosen_on: int
    chosen_value: float
    queries: int
    pairs: int = 0
    precision: float | None = None
    recall: float | None = None
    precision_interval: tuple[float, float] | None = None
    recall_interval: tuple[float, float] | None = None
    seed: int = 0

    def __str__(self) -> str:
        if self.radius is None:
            measure = self.target.partition("=")[0]
            return f"{self.target}: no radius reaches it; the highest {measure} of any is {self.chosen_value:.4f}"
        found = (
            f"{name} {value:.4f} [{interval[0]:.4f}, {interval[1]:.4f}]"
            for name, value, interval in (
                ("precision", self.precision, self.precision_interval),
                ("recall", self.recall, self.recall_interval),
            )
            if value is not None and interval is not None
        )
        return ", ".join(
            [f"{self.target}: radius {self.radius}", *found, f"{self.pairs} pairs, {self.queries} held-out queries"]
        )


def operating_point(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    relevance: Relevance,
    target: str,
    *,
    level: float = 0.95,
    samples: int = 10_000,
    seed: int = 0,
    threads: int | None = None,
) -> OperatingPoint:
    """Choose the radius that meets a target on half of the queries, and measure it on the other half.

    Precision and recall are pooled: over all pairs of a query and an item together, as a service sees them that answers
    every query within one radius. For ``precision=P`` the radius is the largest one whose precision is at least P; for
    ``recall=R`` the smallest one whose recall is at least R. Of radii that hold the same pairs, the smallest counts.
    The halves are drawn by ``seed``: ``ceil(q / 2)`` queries choose, the others measure.

    The intervals are percentile bootstraps over the held-out queries; each draw takes all pairs of a query. An interval
    from 1 to 1 means that no wrong pair was seen, not that there is none: of n held-out queries that find something,
    up to about 3 / n may still err.

    Args:
        query_codes: uint8 ``(q, w)``, packed; 2 or more.
        database_codes: uint8 ``(n, w)``, packed.
        relevance: Which items are relevant to which query.
        target: ``precision=P`` or ``recall=R``.
        level: Share of the draws inside an interval.
        samples: How often the held-out queries are drawn again.
        seed: Seed of the halves and of the draws.
        threads: Number of threads; as in `evaluate`.

    Raises:
        UsageError: If the target cannot be read, or a number is out of range.
        DataError: If the arrays do not fit, there are fewer than 2 queries, or the queries that choose have no relevant
            item.

    Example:
        >>> import numpy as np
        >>> from kinbits.metrics import LabelRelevance, operating_point
        >>> queries, items = np.zeros((2, 1), np.uint8), np.array([[0], [1], [3], [15]], np.uint8)
        >>> point = operating_point(queries, items, LabelRelevance([1, 1], [1, 1, 0, 1]), "precision=0.7")
        >>> point.radius, point.precision, point.recall, point.pairs
        (4, 0.75, 1.0, 4)
    """
    wanted = parse_target(target)
    check_bootstrap(level, samples)
    items, hits, relevant = _within_radius(query_codes, database_codes, relevance, threads)
    choosing, measuring = halves(len(items), seed)
    if not relevant[choosing].sum():
        raise DataError("no query has a relevant item in the database; check the labels of both")
    radius, value = _choose(items[choosing].sum(0), hits[choosing].sum(0), int(relevant[choosing].sum()), wanted)
    found = {"chosen_on": len(choosing), "chosen_value": value, "queries": len(measuring), "seed": seed}
    if radius is None:
        return OperatingPoint(str(wanted), None, **found)  # type: ignore[arg-type]
    near, right, every = items[measuring, radius], hits[measuring, radius], relevant[measuring]
    precision, recall = _pooled(right, near, level, samples, seed), _pooled(right, every, level, samples, seed)
    return OperatingPoint(
        str(wanted),
        radius,
        pairs=int(near.sum()),
        precision=precision[0],
        recall=recall[0],
        precision_interval=precision[1],
        recall_interval=recall[1],
        **found,  # type: ignore[arg-type]
    )


def halves(queries: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that choose and the rows that measure, each in order.

    Raises:
        DataError: If there are fewer than 2.
    """
    if queries < 2:
        raise DataError("one query cannot be halved; an operating point needs 2 queries or more, better some hundred")
    order = np.random.default_rng(seed).permutation(queries)
    middle = -(-queries // 2)
    return np.sort(order[:middle]), np.sort(order[middle:])


def _within_radius(
    query_codes: ArrayLike, database_codes: ArrayLike, relevance: Relevance, threads: int | None
) -> tuple[Counts, Counts, Counts]:
    """Count items and relevant items within each radius, int64 ``(q, 8w + 1)``, and all relevant ones, ``(q,)``."""
    codes = checked(query_codes, database_codes, relevance)
    near = [block.near for block in code_blocks(*codes, "expected", 0, threads)]
    return (
        np.concatenate([groups.items_until for groups in near]),
        np.concatenate([groups.hits_until for groups in near]),
        np.concatenate([groups.all_relevant for groups in near]),
    )


def _choose(items: Counts, hits: Counts, relevant: int, target: Target) -> tuple[int | None, float]:
    """Return the radius that meets the target, and what it reaches; None and the highest where none does."""
    precise = target.measure == "precision"
    reached: Floats = ratio(hits, items) if precise else hits / relevant
    meets = np.flatnonzero((reached >= target.value) & (items > 0))
    if not len(meets):
        return None, float(reached.max())
    radius = int(meets[-1 if precise else 0])
    return int(np.searchsorted(items, items[radius])), float(reached[radius])


def _pooled(
    part: Counts, whole: Counts, level: float, samples: int, seed: int
) -> tuple[float | None, tuple[float, float] | None]:
    """Return the sum of the parts by that of the wholes, and its interval; one seed draws the same queries for both."""
    if not whole.sum():
        return None, None
    parts, wholes = (resampled_means(counts.astype(np.float64), samples, seed) for counts in (part, whole))
    return float(part.sum() / whole.sum()), percentiles(ratio(parts, wholes, empty=np.nan), level)
