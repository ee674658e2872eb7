"""The contents of an index as a value: every change makes a new state and leaves the old one whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kinbits._errors import ArtefactError, DataError, UsageError
from kinbits.index._ids import IdKind, Ids, concatenate, kind_of, readable, require_kind
from kinbits.index._segment import Batch, Segment, merge

_MERGE_ROWS = 1 << 18  # larger segments stay as they are until compact()


@dataclass(frozen=True)
class State:
    """What the manifest says, with the segments it names.

    Attributes:
        bits: Code length.
        fingerprint: Of the model that makes the codes; None if not known.
        id_kind: ``"int"`` or ``"str"``; None before the first item.
        next_id: The next id to hand out; greater than any int id there ever was.
        next_segment: Number of the next segment.
        generation: Raised by every change.
        segments: In order of their numbers.
    """

    bits: int
    fingerprint: str | None = None
    id_kind: IdKind | None = None
    next_id: int = 0
    next_segment: int = 1
    generation: int = 0
    segments: tuple[Segment, ...] = ()

    def __len__(self) -> int:
        return sum(map(len, self.segments))

    @property
    def columns(self) -> list[str]:
        """Names of all metadata columns."""
        return list(dict.fromkeys(name for segment in self.segments for name in segment.table.columns))

    def holds(self, ids: Ids) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Return which of the ids are in the index, bool ``(n,)``."""
        found = np.zeros(len(ids), dtype=np.bool_)
        for segment in self.segments:
            found |= segment.locate(ids) >= 0
        return found

    def with_batch(self, batch: Batch, *, upsert: bool) -> State:
        """Add a batch; ids that exist are replaced if ``upsert``, else refused."""
        require_kind(batch.ids, self.id_kind)
        batch = batch.sorted()
        present = self.holds(batch.ids)
        if present.any() and not upsert:
            first = readable(batch.ids[present][:1]).tolist()[0]
            raise UsageError(
                f"{int(present.sum())} of these ids are in the index already, e.g. {first!r}; "
                "pass upsert=True to replace them"
            )
        state = self.without_ids(batch.ids[present]) if present.any() else self
        kept, batch = _absorb_small(state.segments, batch)
        return replace(
            state,
            id_kind=kind_of(batch.ids),
            next_id=max(self.next_id, int(batch.ids[-1]) + 1) if kind_of(batch.ids) == "int" else 0,
            next_segment=self.next_segment + 1,
            generation=self.generation + 1,
            segments=(*kept, Segment.build(self.next_segment, batch)),
        )

    def without_ids(self, ids: Ids) -> State:
        """Remove ids, all of which must exist."""
        require_kind(ids, self.id_kind)
        missing = ~self.holds(ids)
        if missing.any():
            first = readable(ids[missing][:1]).tolist()[0]
            raise DataError(f"{int(missing.sum())} of these ids are not in the index, e.g. {first!r}")
        segments = [segment.without(_present(segment.locate(ids))) for segment in self.segments]
        return replace(self, generation=self.generation + 1, segments=tuple(s for s in segments if len(s)))

    def compacted(self) -> State:
        """Join all segments into one, without dead items."""
        if not self.segments:
            return self
        batch = merge([segment.batch() for segment in self.segments])
        return replace(
            self,
            next_segment=self.next_segment + 1,
            generation=self.generation + 1,
            segments=(Segment.build(self.next_segment, batch),),
        )

    def check(self) -> None:
        """Check what holds inside and between segments.

        Raises:
            ArtefactError: if it does not hold.
        """
        for segment in self.segments:
            segment.check(self.bits)
        ids = concatenate([segment.ids[segment.alive] for segment in self.segments])
        if len(np.unique(ids)) != len(ids):
            raise ArtefactError("an id occurs in two segments; rebuild the index from its codes")


def _present(rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return rows[rows >= 0]


def _absorb_small(segments: Sequence[Segment], batch: Batch) -> tuple[Sequence[Segment], Batch]:
    """Merge the last segments into the batch while they are not much larger than it.

    Many small additions so leave few segments, and an item is rewritten a logarithmic number of times.
    """
    rows, keep = len(batch), len(segments)
    while keep and len(segments[keep - 1]) <= min(2 * rows, _MERGE_ROWS - rows):
        keep -= 1
        rows += len(segments[keep])
    if keep == len(segments):
        return segments, batch
    return segments[:keep], merge([*(segment.batch() for segment in segments[keep:]), batch])
