"""Evaluate rankings by Hamming distance, or by scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits import hamming
from kinbits._util import lazy
from kinbits.errors import DataError, UsageError
from kinbits.metrics.groups import JUNK, Counts, Floats, Groups, Levels, Scale
from kinbits.metrics.legacy import evaluate_legacy
from kinbits.metrics.measures import FAMILIES
from kinbits.metrics.names import Metric, parse_metrics
from kinbits.metrics.precision import empty_ball
from kinbits.metrics.relevance import Codes, GradedRelevance, Relevance, graded
from kinbits.metrics.result import RankingResult, Ties

ScoreBlock = Callable[[int, int], NDArray[np.floating]]

CELLS = 1 << 23  # bounds the memory to some 100 MB
_SCORE_STEP = 1e-6  # scores nearer than this are a tie: floats from matrix products differ by rounding


def evaluate(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    relevance: Relevance,
    metrics: Sequence[str],
    *,
    ties: Ties = "expected",
    seed: int = 0,
    legacy: str | None = None,
    threads: int | None = None,
    cells: int = CELLS,
) -> RankingResult:
    """Measure how well Hamming distance ranks the database for each query.

    Args:
        query_codes: uint8 ``(q, w)``, packed.
        database_codes: uint8 ``(n, w)``, packed.
        relevance: Which items are relevant to which query, e.g. `LabelRelevance`.
        metrics: Names as `parse_metric` reads them, e.g. ``map@all``, ``map@1000``, ``precision@r2``, ``ndcg@100``.
        ties: ``"expected"`` is the mean over all orders inside ties, in closed form; ``"best"`` and ``"worst"`` are the
            bounds; ``"stable"`` is database order, ``"random"`` one order drawn by ``seed``: both sort every list.
        seed: For ``ties="random"``.
        legacy: Compute ``map`` as published code does, to compare with a paper's table: a name of
            `legacy_definitions`. That code's own order of ties then holds, and ``ties`` may not be given.
        threads: Number of threads; None for `kinbits.hamming.threads`.
        cells: Numbers held at one time: bounds the memory, and changes no result.

    Returns:
        A mapping of name to mean over the queries that have a relevant item.

    Raises:
        UsageError: If a name or rule is unknown, or a metric needs another kind of relevance.
        DataError: If the arrays do not fit, are empty, or no query has a relevant item.

    Example:
        >>> import numpy as np
        >>> from kinbits.metrics import LabelRelevance, evaluate
        >>> codes = np.array([[0], [1], [255]], np.uint8)
        >>> evaluate(codes[:1], codes, LabelRelevance([1], [1, 0, 1]), ["map@all", "precision@r2"])
        RankingResult(map@all=0.8333, precision@r2=0.5000, ties=expected, excluded=0)
    """
    queries, database, worth = checked(query_codes, database_codes, relevance)
    if legacy is not None:
        if ties != "expected":
            raise UsageError(f"legacy='{legacy}' has an order of ties of its own; leave ties='{ties}' out")
        return evaluate_legacy(queries, database, worth, parse_metrics(metrics), legacy)
    return _evaluate(code_blocks(queries, database, worth, ties, seed, threads, cells), worth, metrics, ties)


def evaluate_scores(
    score_block: ScoreBlock,
    relevance: Relevance,
    metrics: Sequence[str],
    *,
    ties: Ties = "expected",
    seed: int = 0,
) -> RankingResult:
    """Measure a ranking by real-valued scores; scores that agree to 1e-6 are a tie.

    Args:
        score_block: Called with ``(start, stop)``, returns the scores of these queries against the whole
            database, float ``(stop - start, n)``; higher is nearer.
        relevance: Which items are relevant to which query.
        metrics: Names as in `evaluate`, without those within a radius.
        ties: As in `evaluate`.
        seed: As in `evaluate`.

    Raises:
        UsageError: If a name or rule is unknown, or a metric is within a radius.
        DataError: If the scores do not fit or hold NaN, or no query has a relevant item.
    """
    within = [metric.name for metric in parse_metrics(metrics) if metric.radius is not None]
    if within:
        raise UsageError(f"{', '.join(within)} need Hamming distances; scores have no radius")
    worth = graded(relevance)
    return _evaluate(score_blocks(score_block, worth, ties, seed), worth, metrics, ties)


@dataclass(frozen=True)
class Block:
    """Some of the queries, and their rankings.

    Attributes:
        rows: Which queries.
        groups: Their rankings, with ties as asked for.
        by_distance: Returns the groups by Hamming distance.
    """

    rows: slice
    groups: Groups
    by_distance: Callable[[], Groups]

    @lazy
    def near(self) -> Groups:
        """The groups by Hamming distance, whatever the order inside ties."""
        return self.by_distance()


def checked(
    query_codes: ArrayLike, database_codes: ArrayLike, relevance: Relevance
) -> tuple[Codes, Codes, GradedRelevance]:
    """Return codes and relevance that fit each other.

    Raises:
        DataError: If they do not, or one is empty.
    """
    queries = hamming.check_codes(query_codes, name="query codes")
    database = hamming.check_codes(database_codes, name="database codes")
    given, needed = (len(queries), len(database)), (relevance.queries, relevance.database)
    if given != needed:
        raise DataError(
            f"there are codes of {given[0]} queries and {given[1]} items, but relevance for {needed[0]} and {needed[1]}"
        )
    if not all(given):
        raise DataError(f"the {'database' if given[0] else 'set of queries'} is empty; give 1 item or more")
    hamming.check_codes(queries, width=database.shape[1], name="query codes")
    return queries, database, graded(relevance)


def code_blocks(
    queries: Codes,
    database: Codes,
    relevance: GradedRelevance,
    ties: str,
    seed: int,
    threads: int | None,
    cells: int = CELLS,
) -> Iterator[Block]:
    """Yield blocks of queries, ranked by Hamming distance; about ``cells`` numbers are held at one time."""
    check_ties(ties)
    scale = relevance.scale
    count = relevance.counter(queries, database, threads)
    strict = ties in ("stable", "random")
    counted = max(relevance.cells, 4 * len(scale.grades) * (8 * database.shape[1] + 1))
    for rows in _blocks(len(queries), 8 * len(database) if strict else counted, cells):
        if strict:
            levels = relevance.levels(rows.start, rows.stop)
            near = hamming.distances(queries[rows], database)
            ranked = [_strict(near[i], levels[i], ties, (seed, rows.start + i)) for i in range(len(near))]
            groups = Groups.from_rankings(np.stack(ranked), scale)
            yield Block(rows, groups, lambda rows=rows: Groups.from_counts(count(rows.start, rows.stop), scale))  # type: ignore[misc]
        else:
            counts = count(rows.start, rows.stop)
            tied = Groups.from_counts(counts, scale)
            groups = tied if ties == "expected" else Groups.from_ordered_counts(counts, scale, best=ties == "best")
            yield Block(rows, groups, lambda tied=tied: tied)  # type: ignore[misc]


def check_ties(ties: str) -> None:
    """Refuse an unknown rule for the order inside ties."""
    if ties not in get_args(Ties):
        raise UsageError(f"ties='{ties}' is unknown; choose from {', '.join(get_args(Ties))}")


def _evaluate(blocks: Iterable[Block], relevance: GradedRelevance, names: Sequence[str], ties: Ties) -> RankingResult:
    metrics = parse_metrics(names)
    for metric in metrics:
        _require(metric, relevance)
    values = {metric.name: np.full(relevance.queries, np.nan) for metric in metrics}
    empty = {metric.name: 0 for metric in metrics if metric.radius is not None}
    counted = 0
    for block in blocks:
        answerable = block.groups.all_relevant > 0
        counted += int(answerable.sum())
        for metric in metrics:
            values[metric.name][block.rows] = np.where(answerable, _measure(metric, block), np.nan)
            if metric.radius is not None:
                empty[metric.name] += int((empty_ball(block.near, metric.radius) & answerable).sum())
    if counted == 0:
        raise DataError("no query has a relevant item in the database; check the labels of both")
    shares = {name: count / counted for name, count in empty.items()}
    return RankingResult(values, relevance.queries - counted, shares, ties)


def _require(metric: Metric, relevance: GradedRelevance) -> None:
    """Refuse a metric that needs to know more than the relevance tells."""
    needs = FAMILIES[metric.family].needs
    if needs is not None and not isinstance(relevance, needs):
        raise UsageError(f"metric '{metric.name}' needs a {needs.__name__}; {type(relevance).__name__} was given")


def _measure(metric: Metric, block: Block) -> Floats:
    family = FAMILIES[metric.family]
    if metric.radius is not None:
        assert family.within is not None  # the parser lets no other through
        return family.within(block.near, metric.radius)
    measure = family.variants[metric.variant] if metric.variant else family.at
    assert measure is not None
    return measure(block.groups, metric.k)


def _blocks(queries: int, per_query: int, cells: int = CELLS) -> Iterator[slice]:
    step = max(1, cells // max(1, per_query))
    for start in range(0, queries, step):
        yield slice(start, min(start + step, queries))


def _strict(near: NDArray[np.generic], levels: Levels, ties: str, seed: tuple[int, int]) -> Levels:
    """Return the levels of one query's items in the order of a sort that leaves no ties."""
    if ties == "stable":
        return levels[np.argsort(near, kind="stable")]
    shuffled = np.random.default_rng(seed).permutation(len(near))
    return levels[shuffled][np.argsort(near[shuffled], kind="stable")]


def score_blocks(score_block: ScoreBlock, relevance: GradedRelevance, ties: str, seed: int) -> Iterator[Block]:
    """Yield the queries one by one, ranked by scores."""
    check_ties(ties)
    for rows in _blocks(relevance.queries, relevance.database):
        levels, scores = relevance.levels(rows.start, rows.stop), np.asarray(score_block(rows.start, rows.stop))
        if scores.shape != levels.shape:
            raise DataError(f"scores have the shape {scores.shape}, but relevance {levels.shape}")
        if np.isnan(scores).any():
            raise DataError("scores hold NaN; check the features they come from")
        for query in range(len(scores)):  # the groups of one query are not those of another
            at = rows.start + query
            groups = _score_groups(scores[query], levels[query], relevance.scale, ties, (seed, at))
            yield Block(slice(at, at + 1), groups, lambda groups=groups: groups)  # type: ignore[misc]


def _score_groups(
    scores: NDArray[np.floating], levels: Levels, scale: Scale, ties: str, seed: tuple[int, int]
) -> Groups:
    steps = -np.rint(scores.astype(np.float64) / _SCORE_STEP)
    if ties in ("stable", "random"):
        return Groups.from_rankings(_strict(steps, levels, ties, seed)[None], scale)
    order = np.argsort(steps)
    counts = _counts(steps[order], levels[order], len(scale.grades))[None]
    if ties == "expected":
        return Groups.from_counts(counts, scale)
    return Groups.from_ordered_counts(counts, scale, best=ties == "best")


def _counts(steps: Floats, levels: Levels, count: int) -> Counts:
    """Count the items by level and group, int64 ``(G, groups)``, from sorted steps."""
    group = np.cumsum(np.append(False, steps[1:] != steps[:-1])[: len(steps)])  # infinite ones are equal too
    groups, kept = int(group[-1]) + 1 if len(group) else 1, levels != JUNK
    flat = np.bincount(levels[kept].astype(np.int64) * groups + group[kept], minlength=count * groups)
    return flat.reshape(count, groups).astype(np.int64)
