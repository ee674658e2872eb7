"""Rescoring: the first hits by codes, ordered again by vectors that the index keeps."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kinbits.encoding import CodesFile
from kinbits.errors import DataError, UsageError
from kinbits.hamming import SCALED, Codes, Tables, kind_name
from kinbits.index.hits import BatchHits, Hits
from kinbits.index.items import Encoder, are_codes, are_tables, is_single
from kinbits.index.query.measure import METRICS
from kinbits.index.query.request import Distance
from kinbits.index.store.kept_vectors import Kept, Vectors, as_vectors
from kinbits.index.store.state import State

Find = Callable[..., Hits | BatchHits]
Times = int | Literal["bound"]

_FIRST = 10  # candidates for each hit, before the bound tells how many it takes
_BLOCK = 32  # vectors that are read at once
_SAME = 0.5  # of codes that a model makes again of kept vectors: equal bytes, or their cosine


def check_times(rescore: Any) -> Times:
    """Return the candidates for each hit, or "bound".

    Raises:
        UsageError: If it is neither "bound" nor a whole number of 1 or more.
    """
    if isinstance(rescore, str) and rescore == "bound":
        return "bound"
    if isinstance(rescore, (bool, str)) or not isinstance(rescore, (int, np.integer)) or rescore < 1:
        raise UsageError(f"rescore is {rescore!r}; give the number of candidates for each hit, 1 or more, or 'bound'")
    return int(rescore)


def rescored(
    query: Any,
    vectors: Any,
    model: Encoder | None,
    state: State,
    distance: Distance,
    *,
    times: Times,
    k: int,
    find: Find,
) -> Hits | BatchHits:
    """Search by codes for ``times k`` candidates, and return the k nearest of them by the kept vectors.

    With "bound", candidates are read in the order of the lower bounds of their distances, until the next one's is above
    that of the k-th nearest so far: these are the fewest that prove it.

    Ties are in ascending order of id.

    Args:
        query: Items that the model encodes, packed codes, or look-up tables; the latter two with ``vectors``.
        vectors: The queries' own vectors, float ``(q, d)``; None for the features that the model computes.
        model: Model of the index.
        state: Contents of the index.
        distance: By which candidates are found.
        times: Candidates for each hit, or "bound".
        k: Maximum number of hits.
        find: Searches for codes ``(q, w)`` or tables.

    Raises:
        UsageError: If the index keeps no vectors, or those of the queries are missing; or codes have no bound of the
            distance of kept vectors.
        DataError: If the queries' vectors do not fit.
    """
    keep = state.keep
    if keep is None:
        raise UsageError("rescore compares kept vectors, and this index keeps none; create one that keeps int8 vectors")
    if query is None:
        raise UsageError("rescore orders the hits of a query; give it, and not vectors= alone or text=")
    if times == "bound":
        return _all_bounded(query, vectors, model, state, keep, k, find)
    if vectors is not None:
        own = as_vectors(np.atleast_2d(np.asarray(vectors)), name="query vectors")
        one_table = isinstance(query, np.ndarray) and are_tables(query[None], state.bits, state.words)
        found, single = (query[None] if one_table and len(own) == 1 else query), one_table and len(own) == 1
    else:
        found, own, single = _encoded(query, model, state, distance)
    if keep.dims:
        keep.require_dims(own, "query vectors")
    hits = find(found, times * k)
    if isinstance(hits, Hits):
        hits, single = BatchHits([hits]), True
    if len(hits) != len(own):
        raise DataError(f"{len(hits)} queries, but {len(own)} query vectors; give one for each query")
    ordered = [_again(one, vector, keep, k, distance) for one, vector in zip(hits, own, strict=True)]
    return ordered[0] if single else BatchHits(ordered)


def _encoded(
    query: Any, model: Encoder | None, state: State, distance: Distance
) -> tuple[Codes | Tables, Vectors, bool]:
    """Return the codes or tables of queries, their features, and whether a single one was given."""
    features, single = _features(query, model, state)
    able: Any = model
    return able.tower().compute(features, "codes" if distance == "hamming" else "tables"), features, single


def _features(query: Any, model: Encoder | None, state: State) -> tuple[Vectors, bool]:
    """Return the features of queries, and whether a single one was given."""
    coded = isinstance(query, CodesFile) or are_codes(query, model, state.bits)
    if coded or are_tables(query, state.bits, state.words):
        raise UsageError("rescore compares vectors, and codes have none; give their vectors too, or the item itself")
    able: Any = model
    if able is None or "output" not in signature(able.encode).parameters or not hasattr(able, "tower"):
        raise UsageError("rescore needs the index's model, or codes as the query and its vectors=")
    features = as_vectors(np.atleast_2d(able.encode(query, output="features")), name="query vectors")
    return features, is_single(query, model, len(features))


def codes_are_of(tower: Any, vectors: Vectors, codes: Codes) -> bool:
    """Tell whether a model made codes of these vectors, which may be rounded to int8, rather than of something else."""
    if tower.head.features != vectors.shape[1]:
        return False
    again = tower.compute(vectors)
    if tower.head.words != SCALED:
        return bool((again == codes).mean() > _SAME)
    one, other = (tower.head.decode(some).cpu().numpy() for some in (again, codes))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return bool(np.mean(np.einsum("nd,nd->n", one, other) / np.maximum(lengths, 1e-30)) > _SAME)


def _bounding(model: Any, state: State, keep: Kept) -> Any:
    """Return the tower whose head bounds the distances of kept vectors."""
    if state.words != SCALED:
        raise UsageError(
            "the bound needs codes that know how far off they are (method rabitq), and these are "
            f"{kind_name(state.words)}; rescore a number of candidates, e.g. 10"
        )
    if model is None or not hasattr(model, "tower"):
        raise UsageError("rescore='bound' needs the index's model; pass model= when the index is opened")
    tower = model.tower()
    if tower.head.metric != keep.metric:
        raise UsageError(
            f"the codes bound the metric '{tower.head.metric}', and kept vectors are scored by '{keep.metric}'; "
            f"rescore a number of candidates, e.g. 10, or create the index with the metric '{tower.head.metric}'"
        )
    return tower


def _all_bounded(
    query: Any, vectors: Any, model: Any, state: State, keep: Kept, k: int, find: Find
) -> Hits | BatchHits:
    tower = _bounding(model, state, keep)
    if vectors is None:
        own, single = _features(query, model, state)
    else:
        own, single = as_vectors(np.atleast_2d(np.asarray(vectors)), name="query vectors"), False
        fits = tower.head.features == own.shape[1] and are_tables(query, state.bits, state.words)
        if not fits or len(query) != len(own) or not np.allclose(tower.compute(own, "tables"), query, atol=1e-3):
            raise UsageError("rescore='bound' needs the query itself, to bound distances; leave vectors= out")
    if keep.dims:
        keep.require_dims(own, "query vectors")
    bounds = tower.bound_tables(own)
    if len(own):
        first = _only(find(bounds[:1], _BLOCK))
        if len(first) and not codes_are_of(tower, keep.unpack(first.kept_vectors()), first.codes):
            raise UsageError(
                "the index keeps other vectors than those that its codes were made of, so no bound holds; "
                "rescore a number of candidates, e.g. 10"
            )
    ordered = [_bounded(find, table[None], one, keep, k) for table, one in zip(bounds, own, strict=True)]
    return ordered[0] if single else BatchHits(ordered)


def _bounded(find: Find, bounds: Tables, vector: Vectors, keep: Kept, k: int) -> Hits:
    """Return the k nearest hits of a query, given its tables of lower bounds, ``(1, parts, 16)``."""
    wanted = max(_FIRST * k, 2 * _BLOCK)
    hits, reading = _only(find(bounds, wanted)), _Reading(vector, keep, k)
    reading.go_on(hits)
    if len(hits) == wanted and hits.distances[-1] <= reading.last:  # none was too far; they come first once more
        hits = _only(find(bounds, None, radius=float(np.nextafter(np.float32(reading.last), np.float32(np.inf)))))
        reading.go_on(hits)
    away = reading.away
    order = np.lexsort((hits.ids[: len(away)], away))[:k]
    measure = f"{METRICS[keep.metric]} to {keep.precision} vectors, read until no other can be nearer by its bound"
    return hits.take(order).measured(away[order], measure, len(away))


class _Reading:
    """Reads vectors of hits in the order of their lower bounds, until the next one is above the k-th distance."""

    def __init__(self, vector: Vectors, keep: Kept, k: int) -> None:
        self._vector, self._keep, self._k = vector, keep, k
        self._blocks: list[NDArray[np.float64]] = []
        self._best = np.zeros(0)
        self.last = np.inf  # the k-th smallest distance so far

    @property
    def away(self) -> NDArray[np.float64]:
        """The distances of the first hits, in their order."""
        return np.concatenate([np.zeros(0), *self._blocks])

    def go_on(self, hits: Hits) -> None:
        """Read on behind those that were read."""
        for start in range(len(self.away), len(hits), _BLOCK):
            if hits.distances[start] > self.last:
                return
            block = hits.take(np.arange(start, min(start + _BLOCK, len(hits))))
            away = self._keep.distances(self._vector, self._keep.unpack(block.kept_vectors()))
            self._blocks.append(away)
            self._best = np.sort(np.concatenate([self._best, away]))[: self._k]
            if len(self._best) == self._k:
                self.last = float(self._best[-1]) if self._k else -np.inf


def _only(hits: Hits | BatchHits) -> Hits:
    return hits if isinstance(hits, Hits) else hits[0]


def _again(hits: Hits, vector: Vectors, keep: Kept, k: int, distance: Distance) -> Hits:
    if not len(hits):
        return hits
    away = keep.distances(vector, keep.unpack(hits.kept_vectors()))
    order = np.lexsort((hits.ids, away))[:k]
    by = {"hamming": "Hamming distance", "asymmetric": "asymmetric distance"}[distance]
    measure = f"{METRICS[keep.metric]} to {keep.precision} vectors, of the {len(hits):,} nearest by {by}"
    return hits.take(order).measured(away[order], measure, len(hits))
