"""Rescoring: the first hits by codes, ordered again by vectors that the index keeps."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np

from kinbits.encoding import CodesFile
from kinbits.errors import DataError, UsageError
from kinbits.hamming import Codes, Tables
from kinbits.index.hits import BatchHits, Hits
from kinbits.index.items import Encoder, are_codes, are_tables, is_single
from kinbits.index.query.request import Distance
from kinbits.index.store.kept_vectors import Kept, Vectors, as_vectors
from kinbits.index.store.state import State

Find = Callable[[Any, int], Hits | BatchHits]


def rescored(
    query: Any,
    vectors: Any,
    model: Encoder | None,
    state: State,
    distance: Distance,
    *,
    times: int,
    k: int,
    find: Find,
) -> Hits | BatchHits:
    """Search by codes for ``times k`` candidates, and return the k nearest of them by the kept vectors.

    Ties are in ascending order of id.

    Args:
        query: Items that the model encodes, packed codes, or look-up tables; the latter two with ``vectors``.
        vectors: The queries' own vectors, float ``(q, d)``; None for the features that the model computes.
        model: Model of the index.
        state: Contents of the index.
        distance: By which candidates are found.
        times: Candidates for each hit.
        k: Maximum number of hits.
        find: Searches for codes ``(q, w)`` or tables.

    Raises:
        UsageError: If the index keeps no vectors, or those of the queries are missing.
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


def _again(hits: Hits, vector: Vectors, keep: Kept, k: int, distance: Distance) -> Hits:
    if not len(hits):
        return hits
    away = keep.distances(vector, keep.unpack(hits.kept_vectors()))
    order = np.lexsort((hits.ids, away))[:k]
    by = {"hamming": "Hamming distance", "asymmetric": "asymmetric distance"}[distance]
    names = {"cosine": "1 - cosine", "inner": "minus the inner product", "euclidean": "squared Euclidean distance"}
    measure = f"{names[keep.metric]} to {keep.precision} vectors, of the {len(hits):,} nearest by {by}"
    return hits.take(order).measured(away[order], measure)
