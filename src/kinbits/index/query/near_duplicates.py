"""A stream of all pairs of items within a radius, over all segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits.hamming import MultiIndex
from kinbits.index.filters.expression import Expression
from kinbits.index.store.checked_array import detect_truncation
from kinbits.index.store.ids import Ids, concatenate, decode_ids
from kinbits.index.store.segment import Segment
from kinbits.index.store.state import State

IdPairs = tuple[NDArray[Any], NDArray[Any], NDArray[np.int32]]


def pairs(state: State, radius: int, where: Expression | None) -> Iterator[IdPairs]:
    """Check the arguments, and return a stream of pairs.

    A single segment uses its own search tables. Several segments are joined in memory, because a pair may have its
    items in two segments.
    """
    for segment in state.segments:
        segment.require_whole(state.bits)
    bound = state.bound(where)
    if len(state.segments) == 1:
        (segment,) = state.segments
        index = segment.multi_index()
        if index is not None:
            return _named(index, segment.ids, radius, segment.allowed(bound), segment)
    return _joined(state.segments, radius, bound)


def _joined(segments: Sequence[Segment], radius: int, where: Expression | None) -> Iterator[IdPairs]:
    for segment in segments:  # again, because the first chunk may be read much later
        segment.require_untouched()
    rows = [segment.allowed_rows(where) for segment in segments]
    ids = concatenate([segment.ids[at] for segment, at in zip(segments, rows, strict=True)])
    if len(ids) < 2:
        return
    codes = np.concatenate([segment.codes[at] for segment, at in zip(segments, rows, strict=True)])
    yield from _named(MultiIndex.from_codes(codes), ids, radius, None)


def _named(
    index: MultiIndex, ids: Ids, radius: int, allow: NDArray[np.uint8] | None, segment: Segment | None = None
) -> Iterator[IdPairs]:
    """Replace rows by ids, the smaller one first; ``segment`` is the searched one, whose files may change."""
    found = iter(index.pairs(radius, allow=allow))
    while True:
        if segment is not None:
            segment.require_untouched()
            segment.multi_index()
        with detect_truncation():
            chunk = next(found, None)
            if chunk is None:
                return
            first, second, near = chunk
            one, two = ids[first], ids[second]
        swapped = one > two
        smaller, larger = np.where(swapped, two, one), np.where(swapped, one, two)
        yield decode_ids(smaller), decode_ids(larger), near
