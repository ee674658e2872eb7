"""Changes of an index: additions, updates, deletions, and upkeep."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

from kinbits.encoding import CodesFile
from kinbits.errors import ArtefactError, UsageError
from kinbits.index.changes import (
    Change,
    matching,
    updated_batch,
    warn_of_mixture,
    what_to_delete,
)
from kinbits.index.filters.where import Where, parse_where
from kinbits.index.items import (
    Metadata,
    adopted,
    folder_of,
    follows,
    require_alike,
    require_codes,
    require_model,
)
from kinbits.index.linked_model import encoder_of
from kinbits.index.new_items import NewItems, opened_items, read_items, roots_of
from kinbits.index.opening import StoredIndex
from kinbits.index.store.ids import as_ids, decode_ids
from kinbits.index.store.state import State
from kinbits.index.sync.reading import Frames
from kinbits.index.sync.remember import remember_files
from kinbits.index.sync.report import SyncReport
from kinbits.index.sync.run import BATCH, SyncOptions, sync_index


class Collection(StoredIndex):
    """The part of `kinbits.index.Index` that changes an index."""

    def add(
        self,
        items: Any,
        ids: Any = None,
        metadata: Metadata | None = None,
        *,
        upsert: bool = False,
        vectors: Any = None,
    ) -> Self:
        """Add items, all or none.

        An index that was created without a model takes the model of the first items that name one: items that a model
        encodes, or a `kinbits.encoding.CodesFile`. Another model is refused from then on. If the index held packed
        codes already, a warning says that they now count as codes of this model.

        Args:
            items: Packed codes uint8 ``(n, w)``, a `kinbits.encoding.CodesFile`, or items that the model encodes. A
                data set brings its own ids and columns, its labels by name as the column ``label``, and its texts as
                ``text``. Its unreadable items are left out, and a warning names the first ones;
                `kinbits.HashModel.encode` with ``on_error="skip"`` lists all.
            ids: int or str, one per item; by default they continue the largest id.
            metadata: Columns of numbers, text, bool or None, one value per item; they replace columns of a data set.
            upsert: Replace items whose ids exist; without it, they are refused.
            vectors: Float ``(n, d)``, one for each item, for an index that keeps vectors (`create`); by default those
                features that the model computes. Codes need them.

        Returns:
            The index itself.

        Raises:
            UsageError: If an id exists, the items need a model and the index has none, or vectors are missing.
            DataError: If codes, ids or metadata do not fit each other or the index, or no item can be read.
            ArtefactError: If a file that the change reads is damaged, or the items belong to another model.
            PlatformError: If the folder cannot be written; the index stays as it was.
        """
        if isinstance(items, CodesFile):
            require_codes(items, self._state)
        items = opened_items(items)
        read = read_items(items, ids, metadata, self._model, self._state, vectors)  # slow, so not under the lock
        with self._change():
            if len(read.codes):
                known, batch = read.batch(adopted(self._state, items, self._model))
                warn_of_mixture(known, batch)
                state = known.with_batch(batch, self._builder, upsert=upsert)
                self._commit(state, len(batch), roots_of(items))
        self._remember(read, roots_of(items))
        return self

    def _remember(self, read: NewItems, roots: list[str]) -> None:
        """Record the files of new items for `sync`."""
        if self._folder is not None and read.stamps is not None and read.ids is not None and roots:
            ids = decode_ids(read.ids).tolist()
            remember_files(self._folder.path, self._state, roots[0], ids, read.stamps, read.codes)

    def update(self, ids: Any, metadata: Metadata) -> Self:
        """Change metadata of items, all or none; codes and other columns stay.

        Args:
            ids: One id or several.
            metadata: Columns, one value per id; a new column is None for all other items.

        Returns:
            The index itself.

        Raises:
            DataError: If an id is not in the index, or ids and values do not fit each other.
            UsageError: If a value has a type that cannot be stored.
            PlatformError: If the folder cannot be written; the index stays as it was.
        """
        wanted = as_ids(ids)
        with self._change():
            if wanted.size:
                batch = updated_batch(self._state, wanted, metadata)
                warn_of_mixture(self._state, batch)
                self._commit(self._state.with_batch(batch, self._builder, upsert=True), len(batch))
        return self

    def delete(self, ids: Any = None, *, where: Where | None = None) -> Self:
        """Remove items, all or none.

        Args:
            ids: One id or several.
            where: Instead of ids, a filter: remove all items that meet it, see `search`. `count` counts them.

        Returns:
            The index itself.

        Raises:
            UsageError: If neither or both are given, or the filter cannot be used, or is empty.
            DataError: If an id is not in the index.
            PlatformError: If the folder cannot be written; the index stays as it was.
        """
        condition, wanted = what_to_delete(ids, where)
        with self._change():
            if wanted is None:
                self._commit(self._state.without_rows(matching(self._state, condition)))
            elif wanted.size:
                self._commit(self._state.without_ids(wanted))
        return self

    def count(self, where: Where | None = None, *, ids: Any = None) -> int:
        """Count the items that meet a filter, or have some ids; all without either.

        Args:
            where: Filter, see `search`.
            ids: One id or several, instead of a filter.

        Raises:
            UsageError: If the filter cannot be used.
            ArtefactError: If a file is damaged; the message names it.
        """
        if ids is not None:
            return len(self) - len(self._state.without_ids(as_ids(ids)))
        return sum(map(len, matching(self._state, parse_where(where))))

    def merge(self, other: Collection, *, upsert: bool = False) -> Self:
        """Add all items of another index, block by block; both may be larger than memory.

        Args:
            other: Index of the same code length and model; it does not change.
            upsert: Replace items whose ids exist; without it, they are refused.

        Returns:
            The index itself.

        Raises:
            UsageError: If an id exists, one index has int and the other str ids, or the other one belongs to an engine.
            ArtefactError: If the other index has another length or model, or one of them is damaged.
            PlatformError: If the folder cannot be written; the index stays as it was.
        """
        if not isinstance(other, Collection):
            raise UsageError(
                f"merge() takes an index of kinbits' own format, not {type(other).__name__}; open one with Index.open, "
                "or add files of codes"
            )
        require_alike(self._state, other._state)
        with self._change():
            added, state = other._state, self._state
            if not len(state):
                state = replace(state, keep=added.keep)  # with the length of its vectors
            state = replace(state, concepts=state.concepts or added.concepts)
            self._commit(state.with_items_of(added, self._builder, upsert=upsert), len(added), added.image_roots)
        return self

    def sync(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        labels: bool | None = None,
        frames: Frames | None = None,
        include_hidden: bool | None = None,
        checksum: bool = False,
        delete_many: bool = False,
        dry_run: bool = False,
        batch_size: int = BATCH,
        progress: bool = False,
    ) -> SyncReport:
        """Bring the index up to date with a folder of images: new, changed, moved and gone files.

        A file with the recorded size and time counts as unchanged. Other files are compared by their contents, and
        only new contents are encoded. An item whose file was moved or renamed keeps its id, vectors and metadata; the
        column ``path`` holds its present path. No file on disk is changed. A run that was killed is completed by the
        next one.

        Args:
            folder: The folder; None takes the one that the index follows, or was created from.
            labels: Whether the names of class folders are labels, or the column ``folder``; None does as before.
            frames: As for `kinbits.open_dataset`; None does as before.
            include_hidden: As for `kinbits.open_dataset`; None does as before.
            checksum: Compare the contents of all files, also of those with the recorded size and time.
            delete_many: Also delete if more than half of the items have no file any more.
            dry_run: Compare, and change nothing.
            batch_size: Number of files that are encoded and stored together.
            progress: Show progress on standard error.

        Returns:
            What was done. Files that cannot be read are listed; their items keep the codes that they have.

        Raises:
            UsageError: If no folder is known, or the index does not belong to it.
            DataError: If the folder is missing, or more than half of the items would be deleted.
            ArtefactError: If the index is damaged, or its model is needed and missing.
            PlatformError: If the index cannot be written.
            BusyError: If another process synchronises the index.
        """
        options = SyncOptions(labels, frames, include_hidden, checksum, delete_many, dry_run, batch_size, progress)
        return sync_index(self, folder, options)

    def compact(self) -> Self:
        """Rewrite the index as one segment, without deleted items; contents and results stay the same.

        Works block by block; the folder needs free space for a second copy.

        Raises:
            ArtefactError: If the index is damaged.
            PlatformError: If the folder cannot be written; the index stays as it was.
        """
        with self._change():
            self._commit(self._state.compacted(self._builder))
        return self

    def optimize(self) -> Self:
        """Build search tables for every large segment that has none, or whose tables are lost or damaged.

        `search` then uses multi-index hashing where it is faster than a scan; the results are the same. Tables of
        10^8 codes take about two minutes and 2 GB on disk. They are derived from the codes: `add` and `delete`
        keep them, `compact` and `merge` make segments without tables, and `save` does not copy them.

        Returns:
            The index itself.

        Raises:
            ArtefactError: If codes are damaged.
            PlatformError: If the folder cannot be written; the index stays as it was.
        """
        self._require_bits("search tables are for", "it needs none: a search reads all codes")
        with self._change():
            self._commit(self._state.optimized(self._builder))
        return self

    def refresh(self) -> Self:
        """Load the present contents from disk; this is fast if nothing has changed.

        Returns:
            The index itself.

        Raises:
            ArtefactError: If the index is gone or damaged, or was created again with another model.
        """
        with self._changing:
            if self._folder is not None and self._folder.changed():
                known, state = self._state, self._folder.read(self._state)
                if not follows(state, known, self._model):
                    self._folder.forget()  # so that the next call asks again
                    if known.fingerprint is None:
                        require_model(self._model, state)
                    raise ArtefactError(
                        f"the index at {self._folder.path} was migrated to another model, or created again; open it "
                        "with Index.open"
                    )
                self._take(state)
        return self

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Hold the writer's lock, start from the present contents of the folder, and refuse damaged files."""
        with self._changing:
            self.last_change = Change()
            if self._folder is None:
                yield
                return
            with self._folder.writing():
                self.refresh()
                self._state.require_untouched()
                yield

    def _commit(self, state: State, given: int = 0, image_roots: Iterable[str] = ()) -> None:
        """Store a new state, and note the result of a change with ``given`` items."""
        before, known = len(self._state), self._state
        if state is not known:
            folder = None if state.fingerprint is None else folder_of(self._model)
            state = state.with_links(folder, image_roots)
            self._take(state if self._folder is None else self._folder.commit(state))
        self.last_change = Change.from_counts(before, len(self._state), given)

    def _take(self, state: State) -> None:
        """Go on with a state, and with the model that it may have brought."""
        self._state, self._model = state, encoder_of(self._model, state)
