"""One line of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One ranking's numbers.

    Attributes:
        name: The method, baseline or direction.
        values: Metric name to mean over the queries.
        excluded: Queries without a relevant item, left out of the means.
        empty_balls: For metrics within a radius, the share of queries with an empty ball.
        curve: Points (recall, precision), macro means by rank.
    """

    name: str
    values: Mapping[str, float]
    excluded: int = 0
    empty_balls: Mapping[str, float] = field(default_factory=dict)
    curve: Sequence[tuple[float, float]] = ()
