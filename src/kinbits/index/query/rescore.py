"""Rescoring: the first hits by codes, ordered again by vectors that the index keeps."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kinbits.encoding import CodesFile
from kinbits.errors import DataError, UsageError
from kinbits.hamming import SCALED, Codes, Tables, check_count, kind_name
from kinbits.index.hits import BatchHits, Hits
from kinbits.index.items import Encoder, are_codes, are_tables, is_single
from kinbits.index.query.request import Distance
from kinbits.index.store.kept_vectors import Kept, Vectors, as_vectors
from kinbits.index.store.state import State

Find = Callable[..., Hits | BatchHits]
Times = int | Literal["bound"]

_FIRST = 10  # candidates for each hit, before the bound tells how many it takes
_METRICS = {"cosine": "1 - cosine", "inner": "minus the inner product", "euclidean": "squared Euclidean distance"}
_BLOCK = 32  # vectors that are read at once


def check_times(rescore: Any) -> Times:
    """Return the candidates for each hit, or "bound".

    Raises:
        UsageError: If it is neither "bound" nor a number of 1 or more.
    """
    if rescore == "bound":
        return "bound"
    if isinstance(rescore, str):
        raise UsageError(f"rescore={rescore!r}: give the candidates for each hit, or 'bound'")
    if not check_count(rescore, "rescore"):
        raise UsageError("rescore=0: give the candidates for each hit, 1 or more")
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
        raise UsageError("rescore compares kept vectors, and this index keeps none; create it with keep='int8'")
    if query is None:
        raise UsageError("rescore orders the hits of a query; give it, and not vectors= alone or text=")
    if vectors is not None:
        own = as_vectors(np.atleast_2d(np.asarray(vectors)), name="query vectors")
        one_table = isinstance(query, np.ndarray) and are_tables(query[None], state.bits, state.words)
        found, single = (query[None] if one_table and len(own) == 1 else query), one_table and len(own) == 1
    else:
        found, own, single = _encoded(query, model, state, distance)
    if keep.dims:
        keep.require_dims(own, "query vectors")
    if times == "bound":
        tower = _bounding(model, state, keep)
        bounds = tower.bound_tables(own)
        ordered = [_bounded(find, table[None], one, keep, k) for table, one in zip(bounds, own, strict=True)]
        return ordered[0] if single else BatchHits(ordered)
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
    coded = isinstance(query, CodesFile) or are_codes(query, model, state.bits)
    if coded or are_tables(query, state.bits, state.words):
        raise UsageError("rescore compares vectors, and codes have none; give vectors= too, or the item itself")
    able: Any = model
    if able is None or "output" not in signature(able.encode).parameters or not hasattr(able, "tower"):
        raise UsageError("rescore needs the index's model, or codes as the query and its vectors=")
    features = as_vectors(np.atleast_2d(able.encode(query, output="features")), name="query vectors")
    made = able.tower().compute(features, "codes" if distance == "hamming" else "tables")
    return made, features, is_single(query, model, len(features))


def _bounding(model: Any, state: State, keep: Kept) -> Any:
    """Return the tower whose head bounds the distances of kept vectors."""
    if state.words != SCALED:
        raise UsageError(
            "rescore='bound' needs codes that bound distances (method rabitq), and these are "
            f"{kind_name(state.words)}; give a number of candidates, e.g. rescore=10"
        )
    if model is None or not hasattr(model, "tower"):
        raise UsageError("rescore='bound' needs the index's model; pass model= when the index is opened")
    tower = model.tower()
    if tower.head.metric != keep.metric:
        raise UsageError(
            f"the codes bound the metric '{tower.head.metric}', and kept vectors are scored by '{keep.metric}'; give a "
            f"number of candidates, e.g. rescore=10, or create the index with metric='{tower.head.metric}'"
        )
    return tower


def _bounded(find: Find, bounds: Tables, vector: Vectors, keep: Kept, k: int) -> Hits:
    """Return the k nearest hits of a query, given its tables of lower bounds, ``(1, parts, 16)``."""
    hits = _only(find(bounds, _FIRST * k))
    away = _read(hits, vector, keep, k)
    if len(away) == len(hits) >= k > 0:  # none was too far
        hits = _only(find(bounds, None, radius=float(np.partition(away, k - 1)[k - 1])))
        away = _read(hits, vector, keep, k)
    order = np.lexsort((hits.ids[: len(away)], away))[:k]
    measure = f"{_METRICS[keep.metric]} to {keep.precision} vectors; {len(away):,} were read, by their bounds"
    return hits.take(order).measured(away[order], measure, len(away))


def _read(hits: Hits, vector: Vectors, keep: Kept, k: int) -> NDArray[np.float64]:
    """Return the distances of the first hits, until the bound of the next one is above the k-th smallest."""
    away = np.zeros(0)
    for start in range(0, len(hits), _BLOCK):
        if len(away) >= k and hits.distances[start] > np.partition(away, k - 1)[k - 1]:
            break
        block = hits.take(np.arange(start, min(start + _BLOCK, len(hits))))
        away = np.append(away, keep.distances(vector, keep.unpack(block.kept_vectors())))
    return away


def _only(hits: Hits | BatchHits) -> Hits:
    return hits if isinstance(hits, Hits) else hits[0]


def _again(hits: Hits, vector: Vectors, keep: Kept, k: int, distance: Distance) -> Hits:
    if not len(hits):
        return hits
    away = keep.distances(vector, keep.unpack(hits.kept_vectors()))
    order = np.lexsort((hits.ids, away))[:k]
    by = {"hamming": "Hamming distance", "asymmetric": "asymmetric distance"}[distance]
    measure = f"{_METRICS[keep.metric]} to {keep.precision} vectors, of the {len(hits):,} nearest by {by}"
    return hits.take(order).measured(away[order], measure, len(hits))
