"""A migration from its beginning to its report, and back."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinbits._util import Modality, full_path
from kinbits.data import Skipped, open_dataset
from kinbits.errors import UsageError
from kinbits.hamming import BITS, check_count
from kinbits.index.index import Index
from kinbits.index.items import follows
from kinbits.index.linked_model import gives_concepts
from kinbits.index.migration.comparison import Comparison, compare
from kinbits.index.migration.notes import Notes
from kinbits.index.migration.records import recode
from kinbits.index.migration.replacement import Replacement, named
from kinbits.index.migration.sources import NamedData, Source, StoredFiles
from kinbits.index.migration.workspace import AFTER, BEFORE, Workspace
from kinbits.index.store.alone import alone

_LOCK = "migration.lock"
BATCH, IMAGES = 4096, 128  # items that are stored together; of images, about as many seconds are lost by a kill
LABELS = ("label", "folder")  # columns of labels, if none is named


@dataclass(frozen=True)
class MigrationReport:
    """What a migration did; prints as lines.

    Attributes:
        index: Folder of the index.
        swapped: Whether the index in its place is another one now.
        model: Folder of its model, or the name of a perceptual hash; None if it was not saved.
        bits: Its code length.
        items: Number of items that it has, or would have.
        encoded: Number of items that this run encoded.
        left_out: Items that could not be encoded; the index has them no longer.
        before: Folder of the index as it was, which `roll_back` brings back.
        after: Folder of the index with the new model.
        seconds: Time of this run.
        comparison: How answers differ; None of `roll_back`.
    """

    index: Path
    swapped: bool
    model: str | None
    bits: int
    items: int
    encoded: int
    left_out: tuple[Skipped, ...]
    before: Path
    after: Path
    seconds: float
    comparison: Comparison | None = None

    def __str__(self) -> str:
        done = "was put in its place" if self.swapped else f"is at {self.after}, and not in its place yet"
        lines = [f"{self.index}: an index of {self.items:,} items {done}"]
        lines += [f"encoded now: {self.encoded:,} items in {self.seconds:.1f} s"]
        lines += [f"left out: {named(self.left_out)}"] if self.left_out else []
        return "\n".join([*lines, *([] if self.comparison is None else [str(self.comparison)])])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        plain = {name: str(getattr(self, name)) for name in ("index", "before", "after")}
        numbers = {name: getattr(self, name) for name in ("swapped", "model", "bits", "items", "encoded", "seconds")}
        left_out = [vars(one) for one in self.left_out]
        return {
            **plain,
            **numbers,
            "left_out": left_out,
            "comparison": None if self.comparison is None else vars(self.comparison),
        }


def migrate(
    index: str | os.PathLike[str],
    model: Any,
    data: Any = None,
    *,
    modality: Modality = "image",
    label: str | None = None,
    swap: bool = True,
    drop_unreadable: bool = False,
    batch_size: int | None = None,
    wait: float = 0.0,
    progress: bool = False,
) -> MigrationReport:
    """Encode all items of an index again with another model, and put the new index in the place of the old one.

    The new index grows in a folder beside the index, ``INDEX.migration``, while the index answers and may change; a run
    that was killed is completed by the next one. Then both are compared by their answers, all later changes of the
    index are done again, and its folder gets the new contents in one step. Ids and metadata stay. A reader that has the
    index open goes on with the old contents, and `Index.refresh` tells it to open the index again.

    Args:
        index: Folder of the index.
        model: The new model, or its folder.
        data: Where the items are read from: whatever `kinbits.open_dataset` takes, with the ids of the index. None
            takes the image files that the index knows.
        modality: ``"image"`` for images and vectors, or ``"text"`` for the texts of the data.
        label: Column of the labels for the comparison; None takes ``label`` or ``folder``, if there is one.
        swap: False stops before the new index is put in its place; the next run goes on from there.
        drop_unreadable: Leave out items that cannot be read, instead of refusing to swap.
        batch_size: Number of items that are encoded and stored together; None takes 128 images, or 4,096 others.
        wait: Seconds to wait for another process that writes.
        progress: Show progress on standard error.

    Returns:
        What was done.

    Raises:
        UsageError: If the index has this model already, or another migration is unfinished.
        DataError: If items cannot be read or have no files, and are not to be left out.
        ArtefactError: If the index or a model is missing or damaged.
        PlatformError: If it cannot be written.
        BusyError: If another process migrates the index.
    """
    if batch_size is not None and not check_count(batch_size, "batch_size"):
        raise UsageError("batch_size=0: give a whole number, 1 or more")
    started = time.monotonic()
    with _held(index, wait) as (live, space):
        new = Index.create(model=model)  # checks it
        if live.fingerprint == new.fingerprint:
            raise UsageError(f"{live.info()['path']} has this model already, so there is nothing to do")
        if label is not None and label not in live.info()["columns"]:
            raise UsageError(f"the index has no column '{label}'; it has {', '.join(live.info()['columns']) or 'none'}")
        source = StoredFiles() if data is None else NamedData(open_dataset(data))
        _begin(space, live, new)
        held = space.open(AFTER, model)
        size = batch_size or _batch_size(source, modality)
        work = Replacement(live, space, BEFORE, AFTER, held, source, modality, drop_unreadable, size, progress)
        work.complete(files=True)
        work.readable()
        if live.info()["tables"] and held.words == BITS:
            held.compact().optimize()
        columns = held.info()["columns"]
        chosen = next((name for name in (label, *LABELS) if name in columns), None)
        comparison = compare(space.open(BEFORE), held, chosen)
        if swap:
            _put(work)
        return _report(work, swap, started, comparison)


def roll_back(
    index: str | os.PathLike[str],
    data: Any = None,
    *,
    model: Any = None,
    modality: Modality = "image",
    drop_unreadable: bool = False,
    wait: float = 0.0,
    progress: bool = False,
) -> MigrationReport:
    """Put the index as it was before a migration in its place again.

    What was added or changed since then is encoded with the old model; what was deleted stays deleted. The new index
    stays beside it, so that `migrate` can put it back.

    Args:
        index: Folder of the index.
        data: As for `migrate`, for items that were added since the migration.
        model: The old model, or its folder; None takes the one that the index knew.
        modality: As for `migrate`.
        drop_unreadable: As for `migrate`.
        wait: As for `migrate`.
        progress: As for `migrate`.

    Raises:
        UsageError: If the index was not migrated, or the migration was given up.
        DataError: If later items cannot be read, and are not to be left out.
        ArtefactError: If later items must be encoded, and the old model is gone.
        PlatformError: If it cannot be written.
        BusyError: If another process migrates the index.
    """
    started = time.monotonic()
    with _held(index, wait) as (live, space):
        if not space.exists() or live.fingerprint != space.open(AFTER).fingerprint:
            raise UsageError(
                f"{live.info()['path']} was not migrated, or is rolled back already, so there is nothing to roll back"
            )
        _require_same(space, AFTER, live)
        source = StoredFiles() if data is None else NamedData(open_dataset(data))
        held, size = space.open(BEFORE, model), _batch_size(source, modality)
        work = Replacement(live, space, AFTER, BEFORE, held, source, modality, drop_unreadable, size, progress)
        work.complete(files=False)
        _put(work)
        return _report(work, True, started)


def discard_migration(index: str | os.PathLike[str]) -> Path:
    """Remove the folder of a migration: what an unfinished one has encoded, or the way back from a finished one.

    Returns:
        The folder that is gone.

    Raises:
        UsageError: If there is none.
        PlatformError: If it cannot be removed.
        BusyError: If another process migrates the index.
    """
    with _held(index, 0.0) as (_, space):
        if not space.exists():
            raise UsageError(f"there is no migration of {full_path(index)} to give up")
        space.remove()
        return space.path


@contextmanager
def _held(index: str | os.PathLike[str], wait: float) -> Iterator[tuple[Index, Workspace]]:
    """Open an index, and hold the lock of its only migration."""
    place = full_path(index)
    live = Index.open(place, wait=wait)
    with alone(place, _LOCK, wait, "migrated"):
        yield live, Workspace(place)


def _begin(space: Workspace, live: Index, new: Index) -> None:
    """Make the folder of a migration, or go on with the one that is there.

    Raises:
        UsageError: If that is of another model.
    """
    if space.exists():
        known = space.open(AFTER)
        if live.fingerprint == known.fingerprint:
            raise UsageError(
                f"{space.path} holds the way back to the model before this one; give it up first: {_discard(live)}"
            )
        if known.fingerprint != new.fingerprint:
            raise UsageError(
                f"{space.path} holds an unfinished migration to {known.info()['model'] or 'another model'}; go on "
                f"with that model, or give it up: {_discard(live)}"
            )
        _require_same(space, BEFORE, live)
        return
    keep, concepts = live._state.keep, live._state.concepts is not None
    how: dict[str, Any] = {} if keep is None else {"keep": keep.precision, "metric": keep.metric}
    space.begin(live, new._model, concepts=concepts and gives_concepts(new.model), **how)


def _batch_size(source: Source, modality: Modality) -> int:
    return IMAGES if source.kind == "image" and modality == "image" else BATCH


def _discard(live: Index) -> str:
    return f"kinbits index migrate {shlex.quote(live.info()['path'])} --discard"


def _require_same(space: Workspace, side: str, live: Index) -> None:
    """Make sure that one of the two indexes of a migration is an earlier state of the index in its place.

    Raises:
        UsageError: If another index is there now.
    """
    known, now = space.open(side)._state, live._state
    ids = known.id_kind in (None, now.id_kind) or now.id_kind is None
    if not (ids and follows(now, known, None) and known.fingerprint == now.fingerprint):
        raise UsageError(
            f"{space.path} belongs to another index that was at {live.info()['path']}; give it up: {_discard(live)}"
        )


def _put(work: Replacement) -> None:
    before, folder = work.put(), work.live._folder
    assert folder is not None  # `_held` has opened it
    recode(folder.path, before, work.held._state, work.notes, Notes(work.space.path, work.base))


def _report(
    work: Replacement,
    swapped: bool,
    started: float,
    comparison: Comparison | None = None,
) -> MigrationReport:
    path = work.space.path
    return MigrationReport(
        Path(work.live.info()["path"]),
        swapped,
        work.held.info()["model"],
        work.held.bits,
        len(work.held),
        work.encoded,
        tuple(sorted(work.left_out.values(), key=lambda one: one.id)),
        path / BEFORE,
        path / AFTER,
        time.monotonic() - started,
        comparison,
    )
