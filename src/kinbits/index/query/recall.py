"""Recall: the share of an item's nearest neighbours by kept vectors that a search by codes finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.errors import DataError, UsageError
from kinbits.hamming import Codes
from kinbits.index.hits import BatchHits
from kinbits.index.query.rescore import codes_are_of
from kinbits.index.query.search import codes_at, vectors_at
from kinbits.index.store.bitmap import Rows
from kinbits.index.store.ids import concatenate, decode_ids
from kinbits.index.store.kept_vectors import Kept, Vectors
from kinbits.index.store.segment import Segment
from kinbits.index.store.state import State

_BLOCK = 1 << 14  # rows that are compared at one time

Search = Callable[..., BatchHits]


@dataclass(frozen=True)
class Recall:
    """Recall of every stage of a search; prints as lines.

    Attributes:
        k: Length of the lists.
        queries: Number of items that were searched with.
        stages: Stage, e.g. ``"hamming"`` or ``"hamming, rescore 10"``, to the mean share of the k nearest other items,
            by kept vectors, that are among its k hits.
    """

    k: int
    queries: int
    stages: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        head = f"recall@{self.k} of neighbours by kept vectors, {self.queries} items as queries"
        wide = max(map(len, self.stages), default=0)
        return "\n".join([head, *(f"  {name:{wide}} {share:.3f}" for name, share in self.stages.items())])


def recall(state: State, model: Any, search: Search, *, k: int, sample: int, rescore: int, seed: int) -> Recall:
    """Measure the stages of a search with a sample of the index's own items; each leaves itself out.

    The asymmetric distance takes part if the kept vectors are those that the model reads.

    Raises:
        UsageError: If no vectors are kept.
        DataError: If there are no k + 1 items.
    """
    keep = state.keep
    if keep is None:
        raise UsageError("recall compares with kept vectors, and this index keeps none; create it with keep='int8'")
    if len(state) <= k:
        raise DataError(f"recall@{k} needs more than {k} items, and there are {len(state)}")
    origin, rows = drawn(state, sample, seed)
    codes = codes_at(state.segments, origin, rows, hamming.code_width(state.bits))
    vectors = keep.unpack(vectors_at(state.segments, origin, rows))
    own = decode_ids(concatenate([state.segments[s].ids[r : r + 1] for s, r in zip(origin, rows, strict=True)]))
    nearest = _nearest(state, keep, vectors, own, k)
    found = Recall(k, len(own))
    queries: dict[str, Any] = {"hamming": codes} if state.words == hamming.BITS else {}
    tables = _tables(model, vectors, codes)
    queries |= {} if tables is None else {"asymmetric": tables}
    if not queries:
        raise UsageError(
            f"{hamming.kind_name(state.words)} are searched by tables of queries, and no model is here that made "
            "them of the kept vectors"
        )
    for distance, given in queries.items():
        ask = partial(search, given, k + 1, distance=distance)
        found.stages[distance] = _share(ask(), own, nearest, k)
        again = [rescore, "bound"] if state.words == hamming.SCALED and _metric(model) == keep.metric else [rescore]
        for times in again:
            hits = ask(rescore=times, vectors=vectors)
            found.stages[f"{distance}, rescore {times}"] = _share(hits, own, nearest, k)
    return found


def _metric(model: Any) -> str | None:
    """Return what the codes of a model estimate."""
    return getattr(model.tower().head, "metric", None)


def drawn(state: State, sample: int, seed: int) -> tuple[Rows, Rows]:
    """Return the segments and rows of some items."""
    living = [segment.living(0, segment.rows) for segment in state.segments]
    origin, rows = np.repeat(np.arange(len(living)), list(map(len, living))), np.concatenate(living)
    chosen = np.sort(np.random.default_rng(seed).choice(len(rows), min(sample, len(rows)), replace=False))
    return origin[chosen], rows[chosen]


def _tables(model: Any, vectors: Vectors, codes: Codes) -> NDArray[np.float32] | None:
    """Return what the model makes of kept vectors as queries; None if it made the codes of something else."""
    tower = None if model is None or not hasattr(model, "tower") else model.tower()
    if tower is None or not codes_are_of(tower, vectors, codes):
        return None
    tables: NDArray[np.float32] = tower.compute(vectors, "tables")
    return tables


def _blocks(segment: Segment) -> Iterator[Rows]:
    for start in range(0, segment.rows, _BLOCK):
        yield segment.living(start, min(start + _BLOCK, segment.rows))


def _nearest(state: State, keep: Kept, vectors: Vectors, own: NDArray[Any], k: int) -> list[NDArray[Any]]:
    """Return the ids of the k nearest other items of each vector, by kept vectors; ties by id."""
    ids: list[NDArray[Any]] = [own[:0] for _ in vectors]
    away: list[NDArray[np.float64]] = [np.zeros(0) for _ in vectors]
    for segment in state.segments:
        for rows in _blocks(segment):
            block, names = keep.unpack(segment.vectors[rows]), decode_ids(segment.ids[rows])
            for query, apart in enumerate(keep.all_distances(vectors, block)):
                apart[names == own[query]] = np.inf
                last = np.partition(apart, min(k, len(apart)) - 1)[min(k, len(apart)) - 1]
                some = np.flatnonzero((apart <= last) & (names != own[query]))  # with all ties of the last
                near, known = np.concatenate([away[query], apart[some]]), np.concatenate([ids[query], names[some]])
                best = np.lexsort((known, near))[:k]
                ids[query], away[query] = known[best], near[best]
    return ids


def _share(hits: BatchHits, own: NDArray[Any], nearest: list[NDArray[Any]], k: int) -> float:
    found = (one.ids[one.ids != name][:k] for one, name in zip(hits, own, strict=True))
    return round(float(np.mean([np.isin(near, ids).mean() for near, ids in zip(nearest, found, strict=True)])), 4)
