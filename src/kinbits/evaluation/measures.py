"""What is measured of each search: metrics with intervals, curves, operating points, and classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kinbits.errors import UsageError
from kinbits.evaluation.row import Row
from kinbits.evaluation.searches import Search, without_radius
from kinbits.hamming import BITS
from kinbits.metrics import (
    ClassResult,
    PrecisionRecallCurve,
    RankingResult,
    Relevance,
    ScoreBlock,
    by_class,
    evaluate,
    evaluate_scores,
    operating_point,
    parse_metric,
    parse_target,
    precision_recall_curve,
    score_curve,
)

_DIVIDED_BY_K = ("precision", "acg")  # however many items there are


@dataclass(frozen=True)
class Measures:
    """Metrics and targets of an evaluation, checked.

    Attributes:
        metrics: Metric names.
        targets: Targets of operating points, each once.
    """

    metrics: tuple[str, ...]
    targets: tuple[str, ...] = ()

    @classmethod
    def from_names(cls, names: Sequence[str], at: Sequence[str] = ()) -> Measures:
        """Check the names of metrics and targets.

        Raises:
            UsageError: If there is no metric, or a metric or target is unknown.
        """
        if not names:
            raise UsageError("give at least one metric, e.g. map@all")
        targets = [str(parse_target(text)) for text in ([at] if isinstance(at, str) else at)]
        return cls(tuple(parse_metric(name).name for name in names), tuple(dict.fromkeys(targets)))

    def row(self, name: str, search: Search, bits: int) -> Row:
        """Measure a search by codes of a length; product codes have no radius, and so no operating points."""
        if search.words != BITS:
            row = self.row_of_scores(name, search.scores, search.relevance)
            curve = _points(score_curve(search.scores, search.relevance))
            return replace(row, curve=curve, bits=bits, direction=str(search.direction))
        pair, relevance = search.codes, search.relevance
        result = evaluate(*pair, relevance, self.metrics)
        by_rank = precision_recall_curve(*pair, relevance, by="rank")
        by_radius = precision_recall_curve(*pair, relevance, by="radius")
        return Row(
            name,
            dict(result),
            excluded=result.excluded,
            empty_balls=result.empty_balls,
            curve=_points(by_rank),
            by_radius=by_radius.precision[: bits + 1].tolist(),
            intervals=_intervals(result),
            bits=bits,
            direction=str(search.direction),
            operating_points=[operating_point(*pair, relevance, target) for target in self.targets],
        )

    def row_of_scores(self, name: str, scores: ScoreBlock, relevance: Relevance) -> Row:
        """Measure a ranking by scores, by the metrics that need no radius."""
        names = without_radius(self.metrics)
        if not names:
            return Row(name, {})
        result = evaluate_scores(scores, relevance, names)
        return Row(name, dict(result), excluded=result.excluded, intervals=_intervals(result))

    def classes(self, search: Search) -> list[ClassResult]:
        """Measure the queries of each class; none where queries have no labels."""
        queries = search.queries
        if queries.labels is None:
            return []
        result = search.measure(self.metrics)
        return by_class(result, queries.labels, None if queries.label_space is None else queries.label_space.names)

    def note_on_cuts(self, items: int) -> str:
        """Name the metrics that look further down the ranking than there are items; empty for none."""
        parsed = [parse_metric(name) for name in self.metrics]
        beyond = [metric for metric in parsed if metric.k is not None and metric.k > items]
        missing = [metric.name for metric in beyond if metric.family in _DIVIDED_BY_K]
        whole = [metric.name for metric in beyond if metric.family not in _DIVIDED_BY_K]
        found = [f"missing places count as misses in {', '.join(missing)}"] if missing else []
        found += [f"all items count in {', '.join(whole)}"] if whole else []
        return f"the database has only {items:,} items: {', and '.join(found)}" if found else ""


def _points(curve: PrecisionRecallCurve) -> list[tuple[float, float]]:
    return list(zip(curve.recall.tolist(), curve.precision.tolist(), strict=True))


def _intervals(result: RankingResult) -> dict[str, tuple[float, float]]:
    return {metric: result.interval(metric) for metric in result}
