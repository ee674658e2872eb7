"""Statistics of codes as text of at most 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kinbits.metrics.statistics.summary import CodeStatistics

Line = tuple[str, float | int | None, str, str]  # name, number, how it is written, what it means


def as_text(found: CodeStatistics) -> str:
    """Write one line for each statistic that was measured: name, number, what it means."""
    told = [f"{found.items:,} codes of {found.bits} bits"]
    told += [
        f"{name:<19}{format(value, form):>10}  {hint}" for name, value, form, hint in lines(found) if value is not None
    ]
    if found.sampled:
        told.append("distances of pairs: from 10,000,000 drawn pairs")
    return "\n".join(told)


def lines(found: CodeStatistics) -> Iterator[Line]:
    """Yield every statistic, measured or not."""
    yield "distinct codes", found.distinct, ",d", f"{found.distinct / found.items:.1%} of all"
    yield "effective bits", found.effective_bits, ".1f", "independent fair bits that would spread as widely"
    yield "dead bits", found.dead_bits, "d", "the same in all codes"
    yield "bit imbalance", found.imbalance, ".4f", "mean |2p - 1|; 0: each set in half of the codes"
    yield "bit entropy", found.entropy, ".4f", "mean, at most 1"
    yield "bit correlation", found.correlation, ".4f", "mean |r| of two live bits"
    yield "bit dependence", found.dependence, ".3f", "|B'B/n - I|^2"
    yield "distance", found.mean_distance, ".2f", "mean of two codes, in bits"
    yield "  within classes", found.distance_within, ".2f", "mean"
    yield "  between classes", found.distance_between, ".2f", "mean"
    yield "  separation d'", found.separation, ".2f", "difference in deviations"
    yield "equal codes within", found.collision_within, ".2%", "of the pairs of one class"
    yield "equal codes between", found.collision_between, ".2%", "of the other pairs"
    yield (
        "tie size",
        found.tie_size,
        ",.0f",
        f"items at one distance; {found.distances_used:.1f} distances in use",
    )
    yield "empty balls", found.empty_balls, ".1%", "of the queries have nothing within 2 bits"
    yield "quantization error", found.quantization_error, ".4f", "mean (u - sign u)^2"
    yield "quantization cosine", found.quantization_cosine, ".4f", "of u and sign u"
