"""One of the two indexes of a migration, brought up to date with the index in its place, and put there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kinbits._util import Bar, Modality
from kinbits.data import Dataset, Skipped
from kinbits.encoding import encode_collection
from kinbits.errors import BusyError, DataError
from kinbits.hamming import code_width
from kinbits.index.index import Index
from kinbits.index.migration.difference import Difference
from kinbits.index.migration.sources import Source
from kinbits.index.migration.workspace import Workspace
from kinbits.index.new_items import EncodedItems, NewItems, encode_items
from kinbits.index.query.search import metadata_at
from kinbits.index.store.columns import as_columns
from kinbits.index.store.ids import Ids, as_ids, decode_ids
from kinbits.index.store.linking import linked_state
from kinbits.index.store.segment import Segment
from kinbits.index.store.state import State

_NAMED = 3  # items in a message
_ROUNDS = 100  # of catching up with changes that go on
Row = Mapping[str, Any]


@dataclass
class Replacement:
    """Encodes the items of an index for another one, which takes its place.

    Attributes:
        live: The index in its place.
        space: The folder of the migration.
        base: Which of the two there is equal to the index, but for later changes.
        side: Which one takes its place.
        held: The latter, open.
        source: Where items are read from.
        modality: What of the items is encoded.
        drop_unreadable: Whether items that cannot be read are left out, instead of being in the way.
        batch_size: Number of items that are encoded and stored together.
        progress: Whether to show progress on standard error.
        encoded: Number of items that were encoded.
        left_out: Items that could not be encoded, by their ids as text.
    """

    live: Index
    space: Workspace
    base: str
    side: str
    held: Index
    source: Source
    modality: Modality
    drop_unreadable: bool
    batch_size: int
    progress: bool
    encoded: int = 0
    left_out: dict[str, Skipped] = field(default_factory=dict)

    def complete(self) -> None:
        """Encode everything that the other side lacks, then all that has changed meanwhile; may be done again."""
        state = self.space.open(self.base)._state
        with Bar("encoding items", len(state), shown=self.progress) as bar:
            done = 0
            for segment in state.segments:
                for start in range(0, segment.rows, self.batch_size):
                    rows = segment.living(start, min(start + self.batch_size, segment.rows))
                    lacking = rows[~self.held._state.holds(segment.ids[rows])]
                    self._encode(segment.ids[lacking], segment.describe(lacking))
                    bar.update(done := done + len(rows))
        self.catch_up()

    def catch_up(self) -> None:
        """Do again what was done to the index since its copy was made."""
        for _ in range(_ROUNDS):
            before = self.space.open(self.base)._state
            if not Difference.between(before, self.live.refresh()._state):
                return
            with self.space.renewed(self.base, self.live) as now:
                self._follow(Difference.between(before, now), now)
        raise BusyError(f"the index changes faster than its items are encoded; {self.side} was not put in its place")

    def readable(self) -> None:
        """Make sure that nothing is left out that should not be.

        Raises:
            DataError: If items could not be encoded, and may not be left out.
        """
        if self.left_out and not self.drop_unreadable:
            lost = sorted(self.left_out.values(), key=lambda one: one.id)
            raise DataError(
                f"{named(lost)} cannot be encoded, so nothing was put in place. Bring the files back, name the data "
                "that hold them, or leave them out of the new index (--drop-unreadable), and run the same again"
            )

    def put(self) -> State:
        """Put the other side in the place of the index, in one step; return the contents that were there before.

        Raises:
            DataError: See `readable`.
            BusyError: If the index changes all the time.
            PlatformError: If it cannot be written.
        """
        for _ in range(_ROUNDS):
            self.readable()
            folder, base = self.live._folder, self.space.open(self.base)._state
            assert folder is not None  # `migrate` opens indexes in folders
            with self.live._change():
                known = self.live._state
                if not Difference.between(base, known):
                    held, place = self.held._state, self.space.path / self.side
                    made = linked_state(held, place, folder, known.next_segment, known.generation + 1)
                    folder.commit(replace(made, next_id=max(made.next_id, known.next_id)))
                    return base
            self.catch_up()
        raise BusyError(f"the index changes all the time; {self.side} was not put in its place")

    def _follow(self, changed: Difference, now: State) -> None:
        """Apply changes; those that were applied already have no effect."""
        gone = changed.gone[self.held._state.holds(changed.gone)] if len(self.held) else changed.gone[:0]
        if len(gone):
            self.held.delete(decode_ids(gone))
        for id_ in decode_ids(changed.gone).tolist():
            self.left_out.pop(str(id_), None)
        known = changed.metadata[self.held._state.holds(changed.metadata)]
        for start in range(0, len(known), self.batch_size):
            ids = known[start : start + self.batch_size]
            self.held.update(decode_ids(ids), _columns(_rows_of(now, ids)))
        for start in range(0, len(changed.contents), self.batch_size):
            ids = changed.contents[start : start + self.batch_size]
            self._encode(ids, _rows_of(now, ids))

    def _encode(self, ids: Ids, rows: Sequence[Row]) -> None:
        """Encode items and store them; note those that cannot be read."""
        if not len(ids):
            return
        part, missing = self.source.part(decode_ids(ids), rows)
        self.left_out |= {one.id: one for one in missing}
        if part is None:
            return
        found = self._encoded(part)
        self.left_out |= {one.id: one for one in found.skipped}
        names = part.ids[found.rows]
        for name in names.tolist():
            self.left_out.pop(str(name), None)
        if not len(names):
            return
        values = dict(zip(decode_ids(ids).tolist(), rows, strict=True))
        columns = as_columns(_columns([values[name] for name in names.tolist()]), len(names))
        new = NewItems(found.codes, as_ids(names), columns, found.vectors, concepts=found.concepts)
        held = self.held
        with held._change():
            state, batch = new.batch(held._state)
            held._commit(state.with_batch(batch, held._builder, upsert=True), len(batch), self.live._state.image_roots)
        self.encoded += len(names)

    def _encoded(self, part: Dataset) -> EncodedItems:
        """Return the codes of those items that can be read."""
        state, model = self.held._state, self.held.model
        if self.modality == "text":
            if not part.has_text.any():
                none, lost = np.zeros((0, code_width(state.bits)), np.uint8), np.zeros(len(part), bool)
                return EncodedItems(none, None, lost, tuple(Skipped(str(id_), "it has no text") for id_ in part.ids))
            found = encode_collection(model, part, modality="text")
            return EncodedItems(found.codes, None, np.isin(part.ids, found.ids), found.skipped)
        return encode_items(part, model, state, featured=state.keep is not None)


def named(items: Sequence[Skipped]) -> str:
    """Return the first items with the reasons, and the number of the others."""
    first = ", ".join(f"{one.id} ({one.reason})" for one in items[:_NAMED])
    return f"{first} and {len(items) - _NAMED:,} more" if len(items) > _NAMED else first


def _rows_of(state: State, ids: Ids) -> list[dict[str, Any]]:
    origin, rows = state.locate(ids)
    segments: Sequence[Segment] = state.segments
    return metadata_at(segments, origin, rows)


def _columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}
