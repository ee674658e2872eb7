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
from kinbits.index.migration.notes import Notes
from kinbits.index.migration.sources import Source, other_files
from kinbits.index.migration.workspace import Workspace
from kinbits.index.new_items import EncodedItems, NewItems, encode_items
from kinbits.index.query.search import codes_at, concepts_at, metadata_at, vectors_at
from kinbits.index.store.columns import as_columns
from kinbits.index.store.ids import Ids, as_ids, decode_ids
from kinbits.index.store.linking import linked_state
from kinbits.index.store.merge import Batch
from kinbits.index.store.state import State

_NAMED = 3  # items in a message
_ROUNDS = 100  # of catching up with changes that go on
Row = Mapping[str, Any]


@dataclass
class Replacement:
    """Encodes the items of an index for another one, which takes its place.

    What it holds is always made of ``base``, a copy of the index that is on disk. To follow changes, all items that
    differ are taken out first; then a newer copy takes the place of ``base``; then what is lacking is encoded. So no
    item can be left with a code or metadata of an earlier state, whenever the work is interrupted.

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

    @property
    def notes(self) -> Notes:
        """Notes on the index that takes the place."""
        return Notes(self.space.path, self.side)

    def complete(self, *, files: bool) -> None:
        """Encode everything that is lacking, then all that has changed meanwhile.

        Args:
            files: Whether to encode again where a file is another one than it was when it was encoded.
        """
        state = self.space.open(self.base)._state
        with Bar("encoding items", len(state), shown=self.progress) as bar:
            done = 0
            for segment in state.segments:
                for start in range(0, segment.rows, self.batch_size):
                    rows = segment.living(start, min(start + self.batch_size, segment.rows))
                    ids = segment.ids[rows]
                    held = self.held._state.holds(ids)
                    if files and self.source.from_files and held.any():
                        stale = self._of_other_files(ids[held], segment.describe(rows[held]), state)
                        self._take_out(stale)
                        held &= self.held._state.holds(ids)
                    self._encode(ids[~held], segment.describe(rows[~held]), state)
                    bar.update(done := done + len(rows))
        self._follow_metadata(state)
        self.catch_up()

    def catch_up(self) -> None:
        """Do again what was done to the index since its copy was made."""
        for _ in range(_ROUNDS):
            before = self.space.open(self.base)._state
            if not Difference.between(before, self.live.refresh()._state):
                return
            with self.space.renewed(self.base, self.live) as now:
                changed = Difference.between(before, now)
                self.notes.add_pending(changed.metadata)
                self._take_out(np.concatenate([changed.gone, changed.contents]))
            for start in range(0, len(changed.contents), self.batch_size):
                ids = changed.contents[start : start + self.batch_size]
                self._encode(ids, _rows_of(now, ids), now)
            self._follow_metadata(now)
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
                "that hold them (--data DATA), or leave them out of the new index (--drop-unreadable). Then run the "
                "same again"
            )

    def put(self) -> State:
        """Put the other side in the place of the index, in one step; return the contents that were there before.

        Raises:
            ArtefactError: If a file of it is damaged.
            DataError: See `readable`.
            BusyError: If the index changes all the time.
            PlatformError: If it cannot be written.
        """
        self.held.verify()
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

    def _of_other_files(self, ids: Ids, rows: Sequence[Row], state: State) -> Ids:
        """Return the items that were encoded from another file than the one that is there now."""
        names = decode_ids(ids)
        known = self.notes.stamps([str(one) for one in names.tolist()])
        return ids[other_files(names, rows, state.image_roots, known)]

    def _take_out(self, ids: Ids) -> None:
        """Remove those of some items that the other side holds."""
        there = ids[self.held._state.holds(ids)] if len(ids) else ids
        if len(there):
            self.held.delete(decode_ids(there))
        for id_ in decode_ids(ids).tolist():
            self.left_out.pop(str(id_), None)

    def _follow_metadata(self, state: State) -> None:
        """Give items the metadata that they have in a state; their codes stay."""
        pending = self.notes.pending()
        if pending is None:
            return
        pending = pending[state.holds(pending)]
        for start in range(0, len(pending), self.batch_size):
            ids = pending[start : start + self.batch_size]
            with self.held._change():
                held = self.held._state
                origin, rows = held.locate(ids)
                here = np.flatnonzero(origin >= 0)
                if not len(here):
                    continue
                where = held.segments, origin[here], rows[here]
                kept = None if held.keep is None else vectors_at(*where)
                known = None if held.concepts is None else concepts_at(held, *where[1:])
                columns = as_columns(_columns(_rows_of(state, ids[here])), len(here))
                batch = Batch(codes_at(*where, code_width(held.bits)), ids[here], columns, kept, known)
                self.held._commit(held.with_batch(batch, self.held._builder, upsert=True), len(batch))
        self.notes.clear_pending()

    def _encode(self, ids: Ids, rows: Sequence[Row], state: State) -> None:
        """Encode items of a state and store them; note those that cannot be read."""
        if not len(ids):
            return
        part = self.source.part(decode_ids(ids), rows, state.image_roots)
        self.left_out |= {one.id: one for one in part.missing}
        if part.dataset is None:
            return
        found = self._encoded(part.dataset)
        self.left_out |= {one.id: one for one in found.skipped}
        names = part.dataset.ids[found.rows]
        if not len(names):
            return
        values = dict(zip(decode_ids(ids).tolist(), rows, strict=True))
        columns = as_columns(_columns([values[name] for name in names.tolist()]), len(names))
        new = NewItems(found.codes, as_ids(names), columns, found.vectors, concepts=found.concepts)
        held = self.held
        with held._change():
            before, batch = new.batch(held._state)
            held._commit(before.with_batch(batch, held._builder, upsert=True), len(batch), state.image_roots)
        self.notes.put_stamps({id_: part.stamps[id_] for id_ in map(str, names.tolist()) if id_ in part.stamps})
        self.encoded += len(names)
        for name in names.tolist():
            self.left_out.pop(str(name), None)

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
    return metadata_at(state.segments, origin, rows)


def _columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}
