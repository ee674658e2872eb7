"""Statistics of a set of codes, as values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from kinbits.metrics.groups import Counts, Floats

_ARRAYS = ("bit_shares", "bit_correlations", "within", "between")
Line = tuple[str, float | int | None, str, str]  # name, value, format, meaning


@dataclass(frozen=True)
class CodeStatistics:
    """Statistics of a set of codes; prints as a table. What needs labels or logits is None without them.

    Attributes:
        bits: Code length K.
        items: Number of codes n.
        distinct: Number of distinct codes.
        dead_bits: Bits that are the same in all codes.
        imbalance: Mean of abs(2p - 1) over bits, p being the share of ones; 0 is balanced.
        entropy: Mean entropy of a bit, at most 1.
        correlation: Mean absolute correlation of two bits, dead ones left out.
        dependence: Squared Frobenius norm of B^T B / n - I, for B of -1 and +1.
        effective_bits: p (1 - p) / var, with mean p and variance of the distances of pairs, as shares of K: as many
            independent fair bits would spread distances as widely (Daugman, How iris recognition works, 2004, his
            "degrees of freedom").
        mean_distance: Mean distance of two codes.
        sampled: Whether distances are those of randomly drawn pairs instead of all pairs.
        tie_size: Items at the distance of a random item from a query, itself counted: the mean size of its tie.
        distances_used: Mean number of different distances from a query.
        empty_balls: Share of queries with nothing within radius 2.
        distance_within: Mean distance of two items of one class, or that share a label.
        distance_between: The same of other pairs.
        separation: d', the difference of the two in units of their root mean variance.
        collision_within: Share of pairs of one class that have equal codes.
        collision_between: The same of other pairs.
        quantization_error: Mean of (u - sign u)^2 over logits u.
        quantization_cosine: Mean cosine of u and sign u; free of scale.
        bit_shares: Share of ones of each bit, float64 ``(K,)``.
        bit_correlations: Correlation of every two bits, float64 ``(K, K)``.
        within: Pairs of one class by distance, int64 ``(K + 1,)``.
        between: Other pairs by distance, int64 ``(K + 1,)``; all pairs where there are no labels.
    """

    bits: int
    items: int
    distinct: int
    dead_bits: int
    imbalance: float
    entropy: float
    correlation: float
    dependence: float
    effective_bits: float
    mean_distance: float
    sampled: bool
    tie_size: float
    distances_used: float
    empty_balls: float
    distance_within: float | None = None
    distance_between: float | None = None
    separation: float | None = None
    collision_within: float | None = None
    collision_between: float | None = None
    quantization_error: float | None = None
    quantization_cosine: float | None = None
    bit_shares: Floats = field(default_factory=lambda: np.zeros(0), repr=False)
    bit_correlations: Floats = field(default_factory=lambda: np.zeros((0, 0)), repr=False)
    within: Counts = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    between: Counts = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)

    def __str__(self) -> str:
        """Write one line for each statistic that was measured, in at most 80 columns."""
        measured = [line for line in self.lines() if line[1] is not None]
        shown = [f"{name:<19}{format(value, form):>10}  {hint}" for name, value, form, hint in measured]
        drawn = int(self.within.sum() + self.between.sum())
        pairs = [f"distances of pairs: from {drawn:,} drawn pairs"] if self.sampled else []
        return "\n".join([f"{self.items:,} codes of {self.bits} bits", *shown, *pairs])

    def lines(self) -> Iterator[Line]:
        """Yield every statistic: its name, its value or None, the format of the value, and what it means."""
        yield "distinct codes", self.distinct, ",d", f"{self.distinct / self.items:.1%} of all"
        yield "effective bits", self.effective_bits, ".1f", "independent fair bits that would spread as widely"
        yield "dead bits", self.dead_bits, "d", "the same in all codes"
        yield "bit imbalance", self.imbalance, ".4f", "mean |2p - 1|; 0: each set in half of the codes"
        yield "bit entropy", self.entropy, ".4f", "mean, at most 1"
        yield "bit correlation", self.correlation, ".4f", "mean |r| of two live bits"
        yield "bit dependence", self.dependence, ".3f", "|B'B/n - I|^2"
        yield "distance", self.mean_distance, ".2f", "mean of two codes, in bits"
        yield "  within classes", self.distance_within, ".2f", "mean"
        yield "  between classes", self.distance_between, ".2f", "mean"
        yield "  separation d'", self.separation, ".2f", "difference in deviations"
        yield "equal codes within", self.collision_within, ".2%", "of the pairs of one class"
        yield "equal codes between", self.collision_between, ".2%", "of the other pairs"
        used = f"items at one distance; {self.distances_used:.1f} distances in use"
        yield "tie size", self.tie_size, ",.0f", used
        yield "empty balls", self.empty_balls, ".1%", "of the queries have nothing within 2 bits"
        yield "quantization error", self.quantization_error, ".4f", "mean (u - sign u)^2"
        yield "quantization cosine", self.quantization_cosine, ".4f", "of u and sign u"

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the correlations of single bits as JSON types."""
        found = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in _ARRAYS}
        arrays = {name: getattr(self, name).tolist() for name in _ARRAYS if name != "bit_correlations"}
        return {**found, **arrays}
