"""A row of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kinbits.metrics import OperatingPoint


@dataclass(frozen=True)
class Row:
    """Numbers of one ranking.

    Attributes:
        name: The method or baseline, with the direction where there are several.
        values: Metric name to mean over the queries.
        excluded: Queries without a relevant item, left out of the means.
        empty_balls: For metrics within a radius, the share of queries with an empty ball.
        curve: Points (recall, precision), macro means by rank.
        by_radius: Precision within radius 0, 1, ..., macro means; an empty ball counts 0.
        intervals: Metric name to its 95 % confidence interval, by bootstrap over the queries.
        bits: Code length; None if there are no codes.
        direction: What is searched with, and what is searched: image or text each.
        operating_points: One for each target; none if there are no codes.
    """

    name: str
    values: Mapping[str, float]
    excluded: int = 0
    empty_balls: Mapping[str, float] = field(default_factory=dict)
    curve: Sequence[tuple[float, float]] = ()
    by_radius: Sequence[float] = ()
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    bits: int | None = None
    direction: str = "image to image"
    operating_points: Sequence[OperatingPoint] = ()
