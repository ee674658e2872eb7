"""Search in the segments of an index, with results in one order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.errors import UsageError, unknown_name
from kinbits.hamming import Codes, Tables
from kinbits.index.hits import Hits, Places
from kinbits.index.query.request import SearchRequest
from kinbits.index.store.bitmap import Bitmap, Rows
from kinbits.index.store.checked_array import detect_truncation
from kinbits.index.store.ids import concatenate, decode_ids, no_ids
from kinbits.index.store.kept_vectors import Packed
from kinbits.index.store.segment import Segment
from kinbits.index.store.state import State

_STRATEGIES = ("auto", "scan", "grouped", "multi-index")

Found = tuple[NDArray[np.int32] | NDArray[np.float32], Rows]


def search(state: State, request: SearchRequest, whole: State | None = None) -> list[Hits]:
    """Return the hits of each query, ordered by distance, then by id.

    Args:
        state: What is searched.
        request: The queries.
        whole: Contents whose columns a filter may name; None for ``state``.
    """
    _require_strategy(state, request)
    for segment in state.segments:  # all of them first: report damage before any work
        segment.require_whole(state.bits)
    if request.where is not None:
        request = request._replace(where=(whole or state).bound(request.where))
    with detect_truncation():
        found = [_search_segment(segment, request) for segment in state.segments]
        by_query = ([rows[number] for rows in found] for number in range(len(request.queries)))
        return [_merge(state, rows, request, number) for number, rows in enumerate(by_query)]


def _require_strategy(state: State, request: SearchRequest) -> None:
    strategy = request.strategy
    if strategy not in _STRATEGIES:
        raise unknown_name("strategy", strategy, _STRATEGIES)
    if strategy in ("grouped", "multi-index") and request.tables is not None:
        raise UsageError(
            f"strategy='{strategy}' finds Hamming distances; the asymmetric distance takes 'scan' or 'auto'"
        )
    if strategy in ("grouped", "multi-index") and state.segments and not any(s.tables for s in state.segments):
        raise UsageError(
            f"strategy='{strategy}' needs search tables, and this index has none; build them with optimize(), "
            f"which skips small segments, or use strategy='auto'"
        )


def _search_segment(segment: Segment, request: SearchRequest) -> Sequence[Found]:
    allow = segment.allowed(request.where)
    k = None if request.k is None else min(request.k, segment.rows)
    if request.words is not None:
        return request.words.nearest(segment, k, request.radius, allow)
    if request.tables is not None:
        return _scan_tables(request.tables, segment.codes, request.radius, k, allow)
    codes = request.codes
    index = segment.multi_index()
    if request.radius is not None:
        radius = int(request.radius)
        if index is not None:
            return index.within(codes, radius, limit=k, allow=allow, strategy=request.strategy)
        return hamming.within(codes, segment.codes, radius, limit=k, allow=allow)
    if index is not None:
        near, rows = index.topk(codes, k or 0, allow=allow, strategy=request.strategy)
    else:
        near, rows = hamming.topk(codes, segment.codes, k or 0, allow=allow)
    return list(zip(near, rows, strict=True))


def _scan_tables(
    tables: Tables, codes: Codes, radius: float | None, k: int | None, allow: Bitmap | None
) -> Sequence[Found]:
    if radius is not None:
        return hamming.table_within(tables, codes, radius, limit=k, allow=allow)
    near, rows = hamming.table_topk(tables, codes, k or 0, allow=allow)
    return list(zip(near, rows, strict=True))


def _merge(state: State, found: Sequence[Found], request: SearchRequest, number: int) -> Hits:
    """Merge the hits of one query in all segments."""
    segments = state.segments
    none = np.zeros(0, np.int32 if request.tables is None else np.float32)
    near = np.concatenate([none, *(near for near, _ in found)])
    rows = np.concatenate([rows for _, rows in found]) if found else np.zeros(0, np.int64)
    parts = [segment.ids[rows] for segment, (_, rows) in zip(segments, found, strict=True)]
    ids = concatenate([no_ids(state.id_kind), *parts])
    origin = np.repeat(np.arange(len(found)), [len(rows) for _, rows in found])
    order = np.lexsort((ids, near))[: request.k]

    def metadata(places: Places) -> list[dict[str, Any]]:
        return metadata_at(segments, origin[order[places]], rows[order[places]])

    def codes(places: Places) -> Codes:
        return codes_at(segments, origin[order[places]], rows[order[places]], hamming.code_width(state.bits))

    def vectors(places: Places) -> Packed:
        return vectors_at(segments, origin[order[places]], rows[order[places]])

    def through(places: Places) -> list[dict[str, float]]:
        assert request.words is not None
        return request.words.through(number, concepts_at(state, origin[order[places]], rows[order[places]]))

    found_ids, roots, names = decode_ids(ids[order]), state.image_roots, state.columns
    by_words = None if request.words is None else through
    return Hits(found_ids, near[order], metadata, codes, roots, names, vectors, request.measure, concepts=by_words)


def codes_at(segments: Sequence[Segment], origin: Rows, rows: Rows, width: int) -> Codes:
    """Return the codes at rows of segments, uint8 ``(n, width)``."""
    return _bytes_at("codes", segments, origin, rows, width)


def vectors_at(segments: Sequence[Segment], origin: Rows, rows: Rows) -> Packed:
    """Return the kept vectors at rows of segments, uint8 ``(n, v)``; of width 0 if none are kept."""
    return _bytes_at("vectors", segments, origin, rows, segments[0].vectors.shape[1] if segments else 0)


def concepts_at(state: State, origin: Rows, rows: Rows) -> Packed:
    """Return the rows of concepts at rows of segments, uint8 ``(n, c)``; zeros where no classes are known."""
    found = np.zeros((len(rows), 0 if state.concepts is None else state.concepts.width), np.uint8)
    known = np.array([segment.stored_concepts is not None for segment in state.segments], bool)
    if known.any() and len(rows):
        places = np.flatnonzero(known[origin])
        found[places] = _bytes_at("concepts", state.segments, origin[places], rows[places], found.shape[1])
    return found


def _bytes_at(role: str, segments: Sequence[Segment], origin: Rows, rows: Rows, width: int) -> NDArray[np.uint8]:
    found = np.zeros((len(rows), width), np.uint8)
    with detect_truncation():
        for number in np.unique(origin):
            places = np.flatnonzero(origin == number)
            segments[number].require_untouched()
            found[places] = getattr(segments[number], role)[rows[places]]
    return found


def metadata_at(segments: Sequence[Segment], origin: Rows, rows: Rows) -> list[dict[str, Any]]:
    """Return the metadata at rows of segments; None for columns that a segment lacks."""
    names = list(dict.fromkeys(name for segment in segments for name in segment.columns))
    fetched: list[dict[str, Any]] = [{} for _ in rows]
    for number in np.unique(origin):
        places = np.flatnonzero(origin == number)
        for place, row in zip(places, segments[number].describe(rows[places]), strict=True):
            fetched[place] = {name: row.get(name) for name in names}
    return fetched
