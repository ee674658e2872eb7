"""Search over the segments of a state, merged into one order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.hamming import Codes
from kinbits.index import _bitmap
from kinbits.index._bitmap import Rows
from kinbits.index._filter import Condition, require_columns
from kinbits.index._hits import Hits
from kinbits.index._ids import concatenate, readable
from kinbits.index._segment import Segment
from kinbits.index._state import State

Found = tuple[NDArray[np.int32], Rows]


@dataclass(frozen=True)
class Query:
    """What is asked of every code.

    Attributes:
        k: How many hits at most; None for all within the radius.
        radius: Largest distance; None for the k nearest at any distance.
        where: Conditions on the metadata.
    """

    k: int | None
    radius: int | None
    where: Sequence[Condition]


def search(state: State, codes: Codes, query: Query) -> list[Hits]:
    """Answer each row of ``codes``; order is distance, then id."""
    require_columns(query.where, state.columns)
    for segment in state.segments:  # all of them first: damage is told before any work is done
        segment.require_whole(state.bits)
    found = [_search_segment(segment, codes, query) for segment in state.segments]
    return [_merge(state.segments, [rows[number] for rows in found], query.k) for number in range(len(codes))]


def _search_segment(segment: Segment, codes: Codes, query: Query) -> Sequence[Found]:
    bitmap = segment.allowed(query.where)
    allow = None if bitmap is None else _bitmap.unpack(bitmap, 0, segment.rows)
    if query.radius is not None:
        return hamming.within(codes, segment.codes, query.radius, allow=allow)
    near, rows = hamming.topk(codes, segment.codes, query.k or 0, allow=allow)
    return list(zip(near, rows, strict=True))


def _merge(segments: Sequence[Segment], found: Sequence[Found], k: int | None) -> Hits:
    """Join one query's hits of all segments."""
    near = np.concatenate([near for near, _ in found]) if found else np.zeros(0, np.int32)
    rows = np.concatenate([rows for _, rows in found]) if found else np.zeros(0, np.int64)
    ids = concatenate([segment.ids[rows] for segment, (_, rows) in zip(segments, found, strict=True)])
    origin = np.repeat(np.arange(len(found)), [len(rows) for _, rows in found])
    order = np.lexsort((ids, near))[:k]

    def metadata() -> list[dict[str, Any]]:
        return _fetch(segments, origin[order], rows[order])

    return Hits(readable(ids[order]), near[order], metadata)


def _fetch(segments: Sequence[Segment], origin: Rows, rows: Rows) -> list[dict[str, Any]]:
    names = list(dict.fromkeys(name for segment in segments for name in segment.columns))
    fetched: list[dict[str, Any]] = [{} for _ in rows]
    for number in np.unique(origin):
        places = np.flatnonzero(origin == number)
        for place, row in zip(places, segments[number].describe(rows[places]), strict=True):
            fetched[place] = {name: row.get(name) for name in names}
    return fetched
