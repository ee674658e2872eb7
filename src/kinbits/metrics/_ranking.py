"""Evaluation of rankings, of codes by Hamming distance or of anything by its scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits import hamming
from kinbits._errors import DataError, UsageError
from kinbits.metrics import _closed_form as closed
from kinbits.metrics._closed_form import Floats, Groups, Ties
from kinbits.metrics._names import Metric, parse_metrics
from kinbits.metrics._relevance import Relevance

ScoreBlock = Callable[[int, int], NDArray[np.floating]]

_BLOCK_PAIRS = 1 << 24  # pairs of query and item looked at together: bounds the memory
_SCORE_STEP = 1e-6  # scores nearer than this are a tie: floats from matrix products differ by rounding


@dataclass(frozen=True, repr=False)
class RankingResult(Mapping[str, float]):
    """Means over the queries, by metric name; behaves as a read-only dict.

    Attributes:
        per_query: Each metric's values, float64 ``(q,)``, NaN for excluded queries.
        excluded: Queries without any relevant item; they are left out of every mean.
        empty_balls: For each ``@r`` metric, the share of counted queries with nothing within the radius.
        ties: The order inside ties that was assumed.
    """

    per_query: dict[str, Floats]
    excluded: int
    empty_balls: dict[str, float]
    ties: Ties

    def __getitem__(self, name: str) -> float:
        values = self.per_query[name]
        return float(np.mean(values, where=~np.isnan(values)))

    def __iter__(self) -> Iterator[str]:
        return iter(self.per_query)

    def __len__(self) -> int:
        return len(self.per_query)

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name}={value:.4f}" for name, value in self.items())
        return f"RankingResult({numbers}, ties={self.ties}, excluded={self.excluded})"


def evaluate(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    relevance: Relevance,
    metrics: Sequence[str],
    *,
    ties: Ties = "expected",
) -> RankingResult:
    """Measure how well Hamming distance ranks the database for each query.

    Args:
        query_codes: uint8 ``(q, w)``, packed.
        database_codes: uint8 ``(n, w)``, packed.
        relevance: Which items are relevant to which query, e.g. `LabelRelevance`.
        metrics: Names: ``map@all``, ``map@1000`` (denominator min(R, k)), ``precision@100``, ``recall@10``,
            ``precision@r2`` (0 for an empty ball), ``recall@r2``; any numbers.
        ties: ``"expected"`` is the mean over all orders inside ties, ``"best"`` and ``"worst"`` the bounds.

    Returns:
        A mapping of name to mean over the queries that have a relevant item.

    Raises:
        UsageError: for a name or rule that is unknown.
        DataError: if the arrays do not fit, or no query has a relevant item.

    Example:
        >>> import numpy as np
        >>> from kinbits.metrics import LabelRelevance, evaluate
        >>> codes = np.array([[0], [1], [255]], np.uint8)
        >>> evaluate(codes[:1], codes, LabelRelevance([1], [1, 0, 1]), ["map@all", "precision@r2"])
        RankingResult(map@all=0.8333, precision@r2=0.5000, ties=expected, excluded=0)
    """
    return _evaluate(code_groups(query_codes, database_codes, relevance), relevance, metrics, ties)


def evaluate_scores(
    score_block: ScoreBlock, relevance: Relevance, metrics: Sequence[str], *, ties: Ties = "expected"
) -> RankingResult:
    """Measure a ranking by real-valued scores; scores that agree to 1e-6 are a tie.

    Args:
        score_block: Called with ``(start, stop)``, returns the scores of these queries against the whole
            database, float ``(stop - start, n)``; higher is nearer.
        relevance: Which items are relevant to which query.
        metrics: Names as in `evaluate`, without those within a radius.
        ties: As in `evaluate`.

    Raises:
        UsageError: for a name or rule that is unknown, or a metric within a radius.
        DataError: if the scores do not fit or hold NaN, or no query has a relevant item.
    """
    within = [metric.name for metric in parse_metrics(metrics) if metric.radius is not None]
    if within:
        raise UsageError(f"{', '.join(within)} need Hamming distances; scores have no radius")
    return _evaluate(_score_groups(score_block, relevance), relevance, metrics, ties)


def code_groups(
    query_codes: ArrayLike, database_codes: ArrayLike, relevance: Relevance
) -> Iterator[tuple[slice, Groups]]:
    """Yield blocks of queries with their tie groups; group d holds the items at distance d."""
    queries, database = (
        hamming.check_codes(query_codes, name="query codes"),
        hamming.check_codes(database_codes),
    )
    given, needed = (len(queries), len(database)), (relevance.queries, relevance.database)
    if given != needed:
        raise DataError(f"there are codes for {given} queries and items, but relevance for {needed}")
    for rows in _blocks(relevance):
        flags = relevance.block(rows.start, rows.stop)
        yield rows, Groups(*hamming.histograms(queries[rows], database, flags))


def _evaluate(
    blocks: Iterable[tuple[slice, Groups]], relevance: Relevance, names: Sequence[str], ties: Ties
) -> RankingResult:
    closed.check_ties(ties)
    metrics = parse_metrics(names)
    values = {metric.name: np.full(relevance.queries, np.nan) for metric in metrics}
    empty = {metric.name: 0 for metric in metrics if metric.radius is not None}
    counted = 0
    for rows, groups in blocks:
        answerable = groups.all_relevant > 0
        counted += int(answerable.sum())
        for metric in metrics:
            values[metric.name][rows] = np.where(answerable, _measure(metric, groups, ties), np.nan)
            if metric.radius is not None:
                empty[metric.name] += int((closed.empty_ball(groups, metric.radius) & answerable).sum())
    if counted == 0:
        raise DataError("no query has a relevant item in the database; check the labels of both")
    shares = {name: count / counted for name, count in empty.items()}
    return RankingResult(values, relevance.queries - counted, shares, ties)


def _measure(metric: Metric, groups: Groups, ties: Ties) -> Floats:
    if metric.family == "map":
        return closed.average_precision(groups, metric.k, ties)
    if metric.radius is not None:
        within = closed.precision_within if metric.family == "precision" else closed.recall_within
        return within(groups, metric.radius)
    assert metric.k is not None  # the parser lets no other cut through
    at = closed.precision_at if metric.family == "precision" else closed.recall_at
    return at(groups, metric.k, ties)


def _blocks(relevance: Relevance) -> Iterator[slice]:
    step = max(1, _BLOCK_PAIRS // max(1, relevance.database))
    for start in range(0, relevance.queries, step):
        yield slice(start, min(start + step, relevance.queries))


def _score_groups(score_block: ScoreBlock, relevance: Relevance) -> Iterator[tuple[slice, Groups]]:
    for rows in _blocks(relevance):
        flags, scores = relevance.block(rows.start, rows.stop), np.asarray(score_block(rows.start, rows.stop))
        if scores.shape != flags.shape:
            raise DataError(f"scores have the shape {scores.shape}, but relevance {flags.shape}")
        for query in range(len(scores)):  # the groups of one query are not those of another
            at = rows.start + query
            yield slice(at, at + 1), _group_scores(scores[query], flags[query])


def _group_scores(scores: NDArray[np.floating], relevant: NDArray[np.bool_]) -> Groups:
    if np.isnan(scores).any():
        raise DataError("scores hold NaN; check the features they come from")
    order = np.argsort(-scores)
    steps = np.rint(scores[order].astype(np.float64) / _SCORE_STEP)
    first = np.flatnonzero(np.diff(steps, prepend=np.inf))  # each group's first place in the order
    total = np.diff(first, append=len(order))
    hits = np.add.reduceat(relevant[order].astype(np.int64), first) if len(first) else total
    return Groups(total[None, :], hits[None, :])
