"""A collection of codes with ids and metadata: how it is made, opened and changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from kinbits.errors import ArtefactError, UsageError
from kinbits.index.changes import (
    Change,
    Contents,
    contents_of,
    matching,
    reopen,
    state_of,
    updated_batch,
    warn_of_mixture,
)
from kinbits.index.filters.where import Where, parse_where
from kinbits.index.items import Encoder, Metadata, make_batch, new_state, read_items, require_alike, require_model
from kinbits.index.store.folder import Folder
from kinbits.index.store.ids import as_ids
from kinbits.index.store.lock import ChangeLock
from kinbits.index.store.memory import MemoryBuilder
from kinbits.index.store.options import DEFAULT, IndexOptions
from kinbits.index.store.state import SegmentBuilder, State

PathLike = str | os.PathLike[str]
C = TypeVar("C", bound="Collection")
_CREATION = 5.0  # seconds to wait for another process that makes the same index


class Collection:
    """The half of an `Index` that changes it; see there."""

    def __init__(
        self, state: State, folder: Folder | None, model: Encoder | None, options: IndexOptions = DEFAULT
    ) -> None:
        """Not for users: see `create` and `open`."""
        require_model(model, state)
        self._state = state
        self._folder = folder
        self._builder: SegmentBuilder = MemoryBuilder(options) if folder is None else folder
        self._model = model
        self._changing = ChangeLock()
        self.last_change: Change | None = None

    @classmethod
    def create(
        cls,
        path: PathLike | None = None,
        *,
        bits: int | None = None,
        model: Encoder | None = None,
        exist_ok: bool = False,
        wait: float = 0.0,
        options: IndexOptions = DEFAULT,
    ) -> Self:
        """Make an empty index.

        Args:
            path: A folder that is new or empty; None keeps the index in memory.
            bits: Code length; may be left out if a model is given.
            model: Encodes what is not codes yet; the index remembers its fingerprint.
            exist_ok: Open an index that lies at ``path`` already, if it has the same length and model.
            wait: Seconds that a change waits for another writer; 0 refuses at once.
            options: Sizes of segments and blocks.

        Raises:
            UsageError: if the length is missing or impossible, or the folder holds something.
            ArtefactError: if the model does not fit ``bits`` or the existing index.
            PlatformError: if the folder cannot be written.
        """
        state = new_state(bits, model)
        require_model(model, state)
        if path is None:
            return cls(state, None, model, options)
        folder = Folder(path, wait, options)
        if not folder.exists():
            folder.create()
            with folder.writing(least_wait=_CREATION):
                if not folder.exists():  # nobody else was first
                    return cls(folder.commit(state), folder, model)
        return _existing(cls.open(path, model=model, wait=wait, options=options), state, exist_ok)

    @classmethod
    def open(
        cls, path: PathLike, model: Encoder | None = None, *, wait: float = 0.0, options: IndexOptions = DEFAULT
    ) -> Self:
        """Open an index in a folder; takes milliseconds at any size, since large files are mapped and not read.

        Args:
            path: The folder.
            model: Encodes queries and items; it must be the model that the index was made with.
            wait: Seconds that a change waits for another writer; 0 refuses at once.
            options: Sizes of segments and blocks.

        Raises:
            ArtefactError: if there is none, files are missing or cut short, it has another format version, or
                it was made with another model.
        """
        folder = Folder(path, wait, options)
        return cls(folder.read(), folder, model)

    @property
    def bits(self) -> int:
        """Code length."""
        return self._state.bits

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of the model that makes the codes; None if the index was created without one."""
        return self._state.fingerprint

    @property
    def stamp(self) -> str:
        """Digest of what lies on disk, hex; changes with every change. Empty in memory."""
        return "" if self._folder is None else self._folder.stamp

    def __len__(self) -> int:
        return len(self._state)

    def add(self, items: Any, ids: Any = None, metadata: Metadata | None = None, *, upsert: bool = False) -> Self:
        """Add items, all or none.

        Args:
            items: Packed codes uint8 ``(n, w)``; or whatever the model encodes. A data set brings its own
                ids and columns, its labels by name as the column ``label``, and its texts as ``text``. What cannot
                be read of it is left out, and a warning names the first of it; `kinbits.HashModel.encode` with
                ``on_error="skip"`` lists all.
            ids: int or str, one per item; continued from the largest if not given.
            metadata: Columns of numbers, text, bool or None, one value per item; they go before a data set's own.
            upsert: Replace items whose ids exist, instead of refusing them.

        Returns:
            The index itself.

        Raises:
            UsageError: if an id exists, or items need a model and there is none.
            DataError: if codes, ids or metadata do not fit each other or the index, or no item can be read.
            ArtefactError: if files that the change needs are damaged.
            PlatformError: if the folder cannot be written; the index stays as it was.
        """
        codes, given, columns = read_items(items, ids, metadata, self._model, self.bits)  # long: not under the lock
        with self._change():
            if len(codes):
                batch = make_batch(codes, given, columns, self._state)
                warn_of_mixture(self._state, batch)
                self._commit(self._state.with_batch(batch, self._builder, upsert=upsert), len(batch))
        return self

    def update(self, ids: Any, metadata: Metadata) -> Self:
        """Change metadata of items, all or none; their codes and their other columns stay.

        Args:
            ids: One id or several.
            metadata: Columns, one value per id; a column that is new to the index is None for all other items.

        Returns:
            The index itself.

        Raises:
            DataError: if an id is not in the index, or ids and values do not fit each other.
            UsageError: for values of a type that cannot be stored.
            PlatformError: if the folder cannot be written; the index stays as it was.
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
            where: Instead of ids: remove whatever meets this filter, see `search`; `count` tells how many that are.

        Returns:
            The index itself.

        Raises:
            UsageError: if neither or both are given, or the filter cannot be used, or is empty and would meet all.
            DataError: if an id is not in the index.
            PlatformError: if the folder cannot be written; the index stays as it was.
        """
        if (ids is None) == (where is None):
            raise UsageError("delete() takes ids, or a filter as where=; give one of the two")
        condition, wanted = parse_where(where), None if ids is None else as_ids(ids)
        if wanted is None and condition is None:
            raise UsageError(f"where={where!r} is an empty filter and would delete all items; name what to delete")
        with self._change():
            if wanted is None:
                self._commit(self._state.without_rows(matching(self._state, condition)))
            elif wanted.size:
                self._commit(self._state.without_ids(wanted))
        return self

    def count(self, where: Where | None = None) -> int:
        """Count the items that meet a filter; all without one.

        Raises:
            UsageError: if the filter cannot be used.
            ArtefactError: naming a file that is damaged.
        """
        return sum(map(len, matching(self._state, parse_where(where))))

    def merge(self, other: Collection, *, upsert: bool = False) -> Self:
        """Add all items of another index, block by block, so that both may be larger than memory.

        Args:
            other: Of the same code length and model; it stays as it is.
            upsert: Replace items whose ids exist, instead of refusing them.

        Returns:
            The index itself.

        Raises:
            UsageError: if an id exists, or the kinds of ids differ.
            ArtefactError: if the other index has another length or model, or one of the two is damaged.
            PlatformError: if the folder cannot be written; the index stays as it was.
        """
        require_alike(self._state, getattr(other, "_state", other))
        with self._change():
            added = other._state
            self._commit(self._state.with_items_of(added, self._builder, upsert=upsert), len(added))
        return self

    def compact(self) -> Self:
        """Rewrite the index as one segment, without deleted items; contents and results stay the same.

        Works block by block; the folder needs free space for a second copy.

        Raises:
            ArtefactError: if the index is damaged.
            PlatformError: if the folder cannot be written; the index stays as it was.
        """
        with self._change():
            self._commit(self._state.compacted(self._builder))
        return self

    def optimize(self) -> Self:
        """Build search tables for every large segment that has none, or whose tables are lost or damaged.

        `search` then uses multi-index hashing where it is faster than a scan; the answers are the same. Tables of
        10^8 codes take about two minutes and 2 GB on disk. They are derived from the codes: `add` and `delete`
        leave them valid, `compact` and `merge` make segments without them, `save` copies the items alone.

        Returns:
            The index itself.

        Raises:
            ArtefactError: if codes are damaged.
            PlatformError: if the folder cannot be written; the index stays as it was.
        """
        with self._change():
            self._commit(self._state.optimized(self._builder))
        return self

    def refresh(self) -> Self:
        """Go on with what is on disk now; costs next to nothing if nothing has changed.

        Returns:
            The index itself.

        Raises:
            ArtefactError: if the index has gone, is damaged, or was made again with another model.
        """
        with self._changing:
            if self._folder is not None and self._folder.changed():
                known, state = self._state, self._folder.read(self._state)
                if (state.bits, state.fingerprint) != (known.bits, known.fingerprint):
                    self._folder.forget()  # so that the next call asks again
                    require_model(self._model, state)
                    raise ArtefactError(f"the index at {self._folder.path} was made again; open it with Index.open")
                self._state = state
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self._folder is not None:
            return reopen, (
                type(self),
                self._folder.path,
                self._model,
                {"wait": self._folder.wait, "options": self._folder.options},
            )
        return _in_memory, (type(self), contents_of(self._state), self._model, self._builder.options)

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Hold the writer's lock, start from what is on disk now, and let nothing damaged into what is written."""
        with self._changing:
            self.last_change = Change()
            if self._folder is None:
                yield
                return
            with self._folder.writing():
                self.refresh()
                self._state.require_untouched()
                yield

    def _commit(self, state: State, given: int = 0) -> None:
        """Take up a new state, and note what became of the ``given`` items."""
        before, known = len(self._state), self._state
        if state is not known:
            self._state = state if self._folder is None else self._folder.commit(state)
        self.last_change = Change.from_counts(before, len(self._state), given)


def _in_memory(kind: type[Collection], contents: Contents, model: Encoder | None, options: IndexOptions) -> Collection:
    return kind(state_of(contents), None, model, options)


def _existing(index: C, wanted: State, exist_ok: bool) -> C:
    place = index._folder.path if index._folder is not None else None
    if not exist_ok:
        raise UsageError(f"an index lies at {place} already; open it with Index.open, or pass exist_ok=True")
    if index.bits != wanted.bits:
        raise UsageError(f"the index at {place} holds {index.bits}-bit codes, not {wanted.bits}-bit codes")
    return index
