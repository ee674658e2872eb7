"""The steps of a synchronisation on an index: each is complete or has no effect, and may be done again."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits._util import Bar
from kinbits.data import Dataset
from kinbits.index.changes import updated_batch
from kinbits.index.items import adopted
from kinbits.index.new_items import EncodedItems, NewItems, encode_items
from kinbits.index.query.search import codes_at, metadata_at, vectors_at
from kinbits.index.store.columns import as_columns
from kinbits.index.store.ids import as_ids
from kinbits.index.sync.columns import followed_columns
from kinbits.index.sync.listing import FileStamp, Listing
from kinbits.index.sync.plan import FileRecord, Item, Plan
from kinbits.index.sync.records import RecordFile, code_digest
from kinbits.index.sync.tracked import PATH, Tracked

if TYPE_CHECKING:
    from kinbits.index.collection import Collection

_TOLERANCE = 0.02  # of the largest number of a vector; stored ones are rounded


@dataclass
class Done:
    """What was encoded.

    Attributes:
        added: Ids of new items.
        changed: Ids of items with new codes.
        compared: Number of items that were encoded again and had the same codes.
        faults: Path -> reason, of files that cannot be decoded.
    """

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    compared: int = 0
    faults: dict[str, str] = field(default_factory=dict)


@dataclass
class Steps:
    """Does the steps of a plan.

    Attributes:
        index: The index.
        listing: Files of the folder.
        records: What the index remembers.
        tracked: Items of the index.
    """

    index: Collection
    listing: Listing
    records: RecordFile
    tracked: Tracked

    def touch(self, plan: Plan) -> None:
        """Record the new times of files whose contents are as before."""
        self._record({item.id: record for item, record in plan.touched}, self.tracked.digests)

    def move(self, plan: Plan) -> None:
        """Note the present paths of moved files in the index; all else of their items stays."""
        if not plan.moved:
            return
        index = self.index
        with index._change():
            held = self._held([item.id for item, _, _ in plan.moved])  # others were deleted meanwhile
            moved = [(item, path) for item, path, _ in plan.moved if item.id in held]
            if moved:
                items, paths = [item for item, _ in moved], [path for _, path in moved]
                columns = self._columns(self._part(paths), items, paths)
                batch = updated_batch(index._state, as_ids([item.id for item in items]), columns)
                index._commit(index._state.with_batch(batch, index._builder, upsert=True), len(batch))
        self._record({item.id: record for item, _, record in plan.moved if item.id in held}, self.tracked.digests)

    def _held(self, ids: list[str]) -> set[str]:
        """Return those ids that the index holds now."""
        return {id_ for id_, held in zip(ids, self.index._state.holds(as_ids(ids)), strict=True) if held}

    def delete(self, plan: Plan) -> None:
        """Delete the items whose files are gone."""
        ids = [item.id for item in plan.gone]
        if ids:
            index = self.index
            with index._change():
                held = self._held(ids)  # others were deleted meanwhile
                if held:
                    index._commit(index._state.without_ids(as_ids(sorted(held))))
            self.records.forget(ids, [item.path for item in plan.gone])

    def encode(self, plan: Plan, batch_size: int, progress: bool) -> Done:
        """Encode changed, unknown and new files, batch by batch."""
        known = {item.path: item for item in (*plan.changed, *plan.unknown)}
        paths = sorted([*known, *plan.new])
        done = Done()
        with Bar("encoding images", len(paths), shown=progress) as bar:
            for start in range(0, len(paths), batch_size):
                self._encode_batch(paths[start : start + batch_size], known, plan, done)
                bar.update(min(start + batch_size, len(paths)))
        return done

    def _encode_batch(self, paths: list[str], known: Mapping[str, Item], plan: Plan, done: Done) -> None:
        items: dict[str, Item] = {}
        for path in paths:
            id_ = known[path].id if path in known else self.tracked.new_id(path)
            if id_ is None:
                done.faults[path] = "path is too long for an id"
            else:
                items[path] = known.get(path, Item(id_, path))
        paths = list(items)
        contents = {path: plan.contents[path] for path in paths if path in plan.contents}
        contents |= self.listing.hashes(path for path in paths if path not in contents)
        state = self.index._state
        found = encode_items(self._part(paths), self.index._model, state, featured=state.keep is not None)
        reasons = {one.id: one.reason for one in found.skipped}
        done.faults |= reasons
        readable = [items[paths[row]] for row in np.flatnonzero(found.rows)]
        fresh = np.array([not self._is_stored(item, at, found) for at, item in enumerate(readable)], bool)
        readable = self._store(readable, fresh, found, known)
        self._record_batch(readable, contents, found.codes, reasons)
        unknown = {item.id for item in plan.unknown}
        for item, new in zip(readable, fresh.tolist(), strict=True):
            if item.path not in known:
                done.added.append(item.id)
            elif new or item.id not in unknown:
                done.changed.append(item.id)
            done.compared += item.id in unknown and not new

    def _is_stored(self, item: Item, at: int, found: EncodedItems) -> bool:
        """Return whether the index holds an item with this code, and about this vector."""
        if self.tracked.digests.get(item.id) != code_digest(found.codes[at]):
            return False
        state = self.index._state
        origin, rows = state.locate(as_ids([item.id]))
        if origin[0] < 0 or codes_at(state.segments, origin, rows, hamming.code_width(state.bits)).tobytes() != (
            found.codes[at].tobytes()
        ):
            return False
        if state.keep is None or found.vectors is None:
            return True
        stored, vector = state.keep.unpack(vectors_at(state.segments, origin, rows))[0], found.vectors[at]
        return bool(np.abs(stored - vector).max(initial=0) <= _TOLERANCE * np.abs(vector).max(initial=0))

    def _store(
        self, items: list[Item], fresh: NDArray[np.bool_], found: EncodedItems, known: Mapping[str, Item]
    ) -> list[Item]:
        """Store those codes that are new, after it is noted that they come; return the items with their final ids."""
        if not fresh.any():
            return items
        index, vectors = self.index, None if found.vectors is None else found.vectors[fresh]
        with index._change():
            items = self._with_free_ids(items, found, known)
            chosen = [items[row] for row in np.flatnonzero(fresh)]
            part, ids = self._part([item.path for item in chosen]), as_ids([item.id for item in chosen])
            self.records.expect([item.id for item in chosen])
            columns = as_columns(self._columns(part, chosen, [item.path for item in chosen]), len(chosen))
            concepts = None if found.concepts is None else found.concepts[fresh]
            new = NewItems(found.codes[fresh], ids, columns, vectors, concepts=concepts)
            before, batch = new.batch(adopted(index._state, part, index._model))
            state = before.with_batch(batch, index._builder, upsert=True)
            index._commit(state, len(batch), [os.fspath(self.listing.folder)])
        return items

    def _with_free_ids(self, items: list[Item], found: EncodedItems, known: Mapping[str, Item]) -> list[Item]:
        """Return the items, and those of new files with other ids where somebody has added an item meanwhile."""
        codes = {item.path: code.tobytes() for item, code in zip(items, found.codes, strict=True)}
        state, chosen = self.index._state, {item.path: item for item in items}
        new = [item for item in items if item.path not in known]
        while new:
            origin, rows = state.locate(as_ids([item.id for item in new]))
            held = np.flatnonzero(origin >= 0)
            there = codes_at(state.segments, origin[held], rows[held], hamming.code_width(state.bits))
            others = [new[at] for at, code in zip(held, there, strict=True) if codes[new[at].path] != code.tobytes()]
            new = [replace(item, id=self.tracked.new_id(item.path) or uuid.uuid4().hex) for item in others]
            chosen |= {item.path: item for item in new}
        return list(chosen.values())

    def _part(self, paths: Sequence[str]) -> Dataset:
        assert self.listing.dataset is not None  # it has these paths
        return self.listing.dataset.select(np.array([self.listing.rows[path] for path in paths], np.int64))

    def _columns(self, part: Dataset, items: Sequence[Item], paths: Sequence[str]) -> dict[str, list[Any]]:
        """Return all columns of items whose files are now at these paths."""
        state = self.index._state
        origin, rows = state.locate(as_ids([item.id for item in items]))
        held = np.flatnonzero(origin >= 0)
        old: list[Mapping[str, Any]] = [{} for _ in items]
        for place, row in zip(held, metadata_at(state.segments, origin[held], rows[held]), strict=True):
            old[place] = row
        columns = followed_columns(part.metadata(), old, [item.path for item in items])
        moved = [path if path != item.id else None for item, path in zip(items, paths, strict=True)]
        if any(moved) or PATH in columns:
            columns[PATH] = moved
        return columns

    def _record_batch(
        self, items: Sequence[Item], contents: Mapping[str, bytes], codes: Any, reasons: Mapping[str, str]
    ) -> None:
        stamps = self._stamps([*(item.path for item in items), *reasons])
        digests = {item.id: code_digest(code) for item, code in zip(items, codes, strict=True)}
        self.tracked.digests |= digests
        whole = {item for item in items if item.path in stamps and item.path in contents}
        self._record({item.id: FileRecord(stamps[item.path], contents[item.path]) for item in whole}, digests)
        if reasons:
            self.records.put_faults({path: (stamps[path], why) for path, why in reasons.items() if path in stamps})

    def _stamps(self, paths: Sequence[str]) -> dict[str, FileStamp]:
        found = {}
        for path in paths:
            try:
                found[path] = self.listing.stamp_afterwards(path)
            except OSError:  # gone since it was listed: the next run sees it
                continue
        return found

    def _record(self, files: Mapping[str, FileRecord], digests: Mapping[str, bytes]) -> None:
        if files:
            self.records.put({id_: (record, digests[id_]) for id_, record in files.items()})
