"""The contents of an index as an immutable value: every change makes a new state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kinbits.backbones import Concepts
from kinbits.errors import ArtefactError
from kinbits.hamming import BITS, describe_kind
from kinbits.index.filters.binding import bind
from kinbits.index.filters.column_types import Kind, joined
from kinbits.index.filters.expression import Expression
from kinbits.index.store.bitmap import Rows
from kinbits.index.store.columns import require_few
from kinbits.index.store.ids import IdKind, Ids, duplicate_ids_error, kind_of, missing_ids_error, require_kind
from kinbits.index.store.kept_vectors import Kept
from kinbits.index.store.merge import BLOCK, Batch, Merge, SortedRun
from kinbits.index.store.options import IndexOptions
from kinbits.index.store.search_tables import MOST_ROWS, SearchTables
from kinbits.index.store.segment import Segment


class SegmentBuilder(Protocol):
    """Builds segments in memory, or in a folder."""

    @property
    def options(self) -> IndexOptions:
        """Sizes of segments and blocks."""

    def build_segment(self, number: int, runs: Sequence[SortedRun], /) -> Segment:
        """Join runs into a new segment."""
        ...

    def build_tables(self, segment: Segment, generation: int, /) -> SearchTables:
        """Make the search tables of a segment."""
        ...


@dataclass(frozen=True)
class State:
    """Contents of an index.

    Attributes:
        bits: Code length.
        fingerprint: Fingerprint of the model; None if it is unknown.
        id_kind: ``"int"`` or ``"str"``; None before the first item.
        next_id: Next automatic id; greater than any int id so far.
        next_segment: Number of the next segment.
        generation: Number that every change increases.
        segments: Segments in order of their numbers.
        model_folder: Absolute path of the folder of the model; None if not known.
        image_roots: Absolute paths of folders that paths of images start from, in the order of their items.
        words: Words of a part of a code: 2 for bits, 16 or 256 for product codes, 0 for scaled codes.
        keep: Vectors that are kept beside the codes; None for none.
        concepts: How rows of concepts are made; None if none are kept.
    """

    bits: int
    fingerprint: str | None = None
    id_kind: IdKind | None = None
    next_id: int = 0
    next_segment: int = 1
    generation: int = 0
    segments: tuple[Segment, ...] = ()
    model_folder: str | None = None
    image_roots: tuple[str, ...] = ()
    words: int = BITS
    keep: Kept | None = None
    concepts: Concepts | None = None

    def __len__(self) -> int:
        return sum(map(len, self.segments))

    @property
    def kind(self) -> str:
        """The codes in words: their length, and whether they are product codes."""
        return describe_kind(self.bits, self.words)

    @property
    def columns(self) -> list[str]:
        """Names of all metadata columns."""
        return list(dict.fromkeys(name for segment in self.segments for name in segment.columns))

    @property
    def column_kinds(self) -> dict[str, Kind]:
        """Types of all metadata columns by name.

        Raises:
            ArtefactError: If metadata are damaged.
        """
        known = [segment.kinds for segment in self.segments]
        return {name: joined(kinds[name] for kinds in known if name in kinds) for name in self.columns}

    def bound(self, where: Expression | None) -> Expression | None:
        """Read the values of a filter by the types of the columns.

        Raises:
            UsageError: If a column does not exist, or cannot be compared with the value.
            ArtefactError: If metadata are damaged.
        """
        return None if where is None else bind(where, self.column_kinds)

    def holds(self, ids: Ids) -> NDArray[np.bool_]:
        """Return whether each id is in the index, bool ``(n,)``."""
        found = np.zeros(len(ids), dtype=np.bool_)
        for segment in self.segments:
            found |= segment.locate(ids) >= 0
        return found

    def locate(self, ids: Ids) -> tuple[Rows, Rows]:
        """Return the segment of each id and its row there, int64 ``(n,)``; -1 if no segment holds it."""
        origin, rows = np.full((2, len(ids)), -1, np.int64)
        for number, segment in enumerate(self.segments):
            at = segment.locate(ids)
            origin[at >= 0], rows[at >= 0] = number, at[at >= 0]
        return origin, rows

    def with_links(self, model_folder: str | None, image_roots: Iterable[str]) -> State:
        """Note the folder of the model, where it is known, and further folders of images."""
        roots = tuple(dict.fromkeys([*self.image_roots, *image_roots]))
        return replace(self, model_folder=model_folder or self.model_folder, image_roots=roots)

    def require_untouched(self) -> None:
        """Verify the checksums of files that another program has touched.

        Raises:
            ArtefactError: If a file differs; the message names it.
        """
        for segment in self.segments:
            segment.require_untouched()

    def with_batch(self, batch: Batch, builder: SegmentBuilder, *, upsert: bool) -> State:
        """Add a batch; existing ids are replaced with ``upsert``, else refused."""
        return self._with_runs([batch.sorted()], builder, upsert=upsert)

    def with_items_of(self, other: State, builder: SegmentBuilder, *, upsert: bool) -> State:
        """Add all items of another state; existing ids are replaced with ``upsert``, else refused."""
        return self._with_runs(other.segments, builder, upsert=upsert) if other.segments else self

    def without_ids(self, ids: Ids) -> State:
        """Remove ids, all of which must exist."""
        require_kind(ids, self.id_kind)
        missing = ~self.holds(ids)
        if missing.any():
            raise missing_ids_error(ids[missing])
        return self.without_rows([_present(segment.locate(ids)) for segment in self.segments])

    def without_rows(self, rows: Sequence[Rows]) -> State:
        """Remove rows of each segment."""
        if not any(map(len, rows)):
            return self
        segments = [segment.without(gone) for segment, gone in zip(self.segments, rows, strict=True)]
        return replace(self, generation=self.generation + 1, segments=tuple(s for s in segments if len(s)))

    def compacted(self, builder: SegmentBuilder) -> State:
        """Join all segments into one, without deleted items."""
        if not self.segments or (len(self.segments) == 1 and not self.segments[0].dead):
            return self
        return replace(
            self,
            next_segment=self.next_segment + 1,
            generation=self.generation + 1,
            segments=(builder.build_segment(self.next_segment, self.segments),),
        )

    def optimized(self, builder: SegmentBuilder) -> State:
        """Build search tables for every large segment without intact ones."""
        generation = self.generation + 1
        segments = tuple(_with_tables(segment, builder, generation) for segment in self.segments)
        return self if segments == self.segments else replace(self, generation=generation, segments=segments)

    def check(self) -> None:
        """Check every segment, and that ids are unique.

        Raises:
            ArtefactError: If a segment is damaged, or an id occurs twice.
        """
        for segment in self.segments:
            segment.check(self.bits)
            if self.concepts is not None and segment.stored_concepts is not None:
                _require_classes(segment, self.concepts)
        if any(np.any(ids[1:] == ids[:-1]) for ids, _ in Merge(self.segments).blocks()):
            raise ArtefactError("an id occurs in two segments; rebuild the index from its codes")

    def _with_runs(self, runs: Sequence[SortedRun], builder: SegmentBuilder, *, upsert: bool) -> State:
        require_few(len({name for run in (*self.segments, *runs) for name in run.columns}))
        state = self
        for ids, _ in Merge(runs).blocks():
            state = state._making_room(ids, upsert=upsert)
        kept, small = _split_small(state.segments, sum(map(len, runs)), builder.options.merge_rows)
        segment = builder.build_segment(self.next_segment, [*small, *runs])
        kind = kind_of(segment.ids)
        return replace(
            state,
            id_kind=kind,
            next_id=max(self.next_id, int(segment.bounds[1]) + 1) if kind == "int" else 0,
            next_segment=self.next_segment + 1,
            generation=self.generation + 1,
            segments=(*kept, segment),
        )

    def _making_room(self, ids: Ids, *, upsert: bool) -> State:
        """Remove existing ids, or refuse them."""
        require_kind(ids, self.id_kind)
        present = self.holds(ids)
        if not present.any():
            return self
        if not upsert:
            raise duplicate_ids_error(ids[present])
        return self.without_ids(ids[present])


def _require_classes(segment: Segment, concepts: Concepts) -> None:
    for start in range(0, segment.rows, BLOCK):
        if not concepts.fits(segment.concepts[start : start + BLOCK]):
            raise ArtefactError(f"segment {segment.number}: numbers of classes are damaged; rebuild the index")


def _with_tables(segment: Segment, builder: SegmentBuilder, generation: int) -> Segment:
    small = not builder.options.table_rows <= segment.rows <= MOST_ROWS
    if small or (segment.tables is not None and segment.tables.usable(segment.codes)):
        return segment
    return replace(segment, tables=builder.build_tables(segment, generation))


def _present(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows[rows >= 0]


def _split_small(segments: Sequence[Segment], rows: int, most: int) -> tuple[Sequence[Segment], Sequence[Segment]]:
    """Split off the last segments, as long as each is not much larger than all that follow it.

    They are merged with the new items, so that many small additions leave few segments. An item is rewritten a
    logarithmic number of times.
    """
    keep = len(segments)
    while keep and len(segments[keep - 1]) <= min(2 * rows, most - rows):
        keep -= 1
        rows += len(segments[keep])
    return segments[:keep], segments[keep:]
