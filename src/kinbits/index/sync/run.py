"""A synchronisation from its beginning to its report."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kinbits.errors import DataError, UsageError
from kinbits.hamming import check_count
from kinbits.index.store.alone import alone
from kinbits.index.sync.apply import Done, Steps
from kinbits.index.sync.listing import Listing, skipped_of
from kinbits.index.sync.plan import Plan, make_plan
from kinbits.index.sync.reading import Frames, Reading
from kinbits.index.sync.records import RecordFile, Records
from kinbits.index.sync.report import MovedFile, SyncReport
from kinbits.index.sync.tracked import Tracked, followed_folder, link_to, stored_items, tracked_items

if TYPE_CHECKING:
    from kinbits.index.collection import Collection

_LOCK = "sync.lock"
BATCH = 512
_STRANGER = "no such file; the item may come from elsewhere, so delete it yourself if it is not wanted"


@dataclass(frozen=True)
class SyncOptions:
    """How a folder is compared; see `kinbits.Index.sync`."""

    labels: bool | None = None
    frames: Frames | None = None
    include_hidden: bool | None = None
    checksum: bool = False
    delete_many: bool = False
    dry_run: bool = False
    batch_size: int = BATCH
    progress: bool = False

    def __post_init__(self) -> None:
        if not check_count(self.batch_size, "batch_size"):
            raise UsageError("batch_size=0: give a whole number, 1 or more")


def sync_index(index: Collection, folder: str | os.PathLike[str] | None, options: SyncOptions) -> SyncReport:
    """Bring an index up to date with a folder; see `kinbits.Index.sync`."""
    if index._folder is None:
        raise UsageError("an index in memory cannot follow a folder; create it with a path")
    place = index._folder.path
    if options.dry_run:
        return _synced(index, place, folder, options)
    with alone(place, _LOCK, index._folder.wait, "synchronised"):
        return _synced(index, place, folder, options)


def _synced(index: Collection, place: Path, folder: str | os.PathLike[str] | None, options: SyncOptions) -> SyncReport:
    index.refresh()
    memory = RecordFile(place)
    records, state = memory.read(), index._state
    root = followed_folder(folder, records, state, place)
    stored = stored_items(state)
    known = records.reading or Reading.from_items(state.columns, stored.ids.tolist())
    reading = known.changed({name: getattr(options, name) for name in vars(known)})
    listing = Listing.of_folder(root, reading)
    tracked = tracked_items(state, stored, records, listing)
    if len(state) and not tracked.items and records.root is None:
        raise UsageError(f"none of the {len(state):,} items of the index is a file of {root}; name its folder")
    plan = make_plan(
        tracked.items,
        listing.stamps,
        listing.fault,
        lambda paths: listing.hashes(paths, options.progress),
        checksum=options.checksum,
    )
    _require_few_deletions(plan, len(tracked.items), root, options.delete_many)
    faults = {} if options.checksum else _without_known_faults(plan, listing, records)
    plan.kept |= dict.fromkeys(tracked.strangers, _STRANGER)
    report = _planned(root, plan, faults, listing)
    if options.dry_run:
        return replace(report, items=len(state) + len(plan.new) - len(plan.gone), dry_run=True)
    return _applied(index, plan, report, Steps(index, listing, memory, tracked), records, options, reading)


def _applied(
    index: Collection,
    plan: Plan,
    report: SyncReport,
    steps: Steps,
    records: Records,
    options: SyncOptions,
    reading: Reading,
) -> SyncReport:
    folder = steps.listing.folder
    link = link_to(folder, steps.records.path.parent)
    if (records.root, records.reading) != (link, reading):
        steps.records.begin(link, reading, [item.id for item in steps.tracked.items])
    _forget_lost(steps.records, records, steps.tracked, steps.listing)
    steps.touch(plan)
    steps.move(plan)
    steps.delete(plan)
    done = steps.encode(plan, options.batch_size, options.progress)
    return _completed(report, plan, done, len(index))


def _require_few_deletions(plan: Plan, items: int, folder: Path, allowed: bool) -> None:
    """Refuse to delete more than half of the items: a disk may not be mounted.

    Raises:
        DataError: If so many files are gone, and it is not allowed.
    """
    if allowed or 2 * len(plan.gone) <= items:
        return
    raise DataError(
        f"{len(plan.gone):,} of {items:,} items have no file in {folder} any more, so nothing was changed; mount the "
        "disk, name the folder that the index is to follow, or allow many deletions"
    )


def _without_known_faults(plan: Plan, listing: Listing, records: Records) -> dict[str, str]:
    """Take from a plan the files that could not be decoded before and have not changed since."""
    known = {path: why for path, (stamp, why) in records.faults.items() if _same(listing, path, stamp)}
    bad = {item.path for item in (*plan.changed, *plan.unknown)} & known.keys()
    plan.kept |= {path: known[path] for path in bad}
    plan.changed = [item for item in plan.changed if item.path not in bad]
    plan.unknown = [item for item in plan.unknown if item.path not in bad]
    faults = {path: known[path] for path in plan.new if path in known}
    plan.new = [path for path in plan.new if path not in known]
    return faults


def _same(listing: Listing, path: str, stamp: object) -> bool:
    now = listing.stamps.get(path)
    return now is not None and now.mtime >= 0 and now == stamp


def _forget_lost(memory: RecordFile, records: Records, tracked: Tracked, listing: Listing) -> None:
    """Forget files of items that are no longer in the index, and faults of files that are gone."""
    ids = [id_ for id_ in records.files if id_ not in tracked.ids]
    faults = [path for path in records.faults if path not in listing.rows]
    if ids or faults:
        memory.forget(ids, faults)


def _planned(folder: Path, plan: Plan, faults: dict[str, str], listing: Listing) -> SyncReport:
    """Return the report of a plan, as if all its files could be decoded."""
    unreadable = {path: why for path, why in listing.unreadable.items() if path not in plan.kept}
    return SyncReport(
        folder,
        added=tuple(plan.new),
        changed=tuple(item.id for item in plan.changed),
        moved=tuple(sorted((MovedFile(item.id, item.path, path) for item, path, _ in plan.moved), key=lambda m: m.new)),
        deleted=tuple(item.id for item in plan.gone),
        unchanged=len(plan.unchanged) + len(plan.touched) + len(plan.kept),
        compared=len(plan.unknown),
        kept=skipped_of(plan.kept),
        skipped=skipped_of({**unreadable, **faults}),
    )


def _completed(report: SyncReport, plan: Plan, done: Done, items: int) -> SyncReport:
    """Return the report of what was done."""
    known = {item.path for item in (*plan.changed, *plan.unknown)}
    kept = {path: why for path, why in done.faults.items() if path in known}
    skipped = {path: why for path, why in done.faults.items() if path not in known}
    return replace(
        report,
        added=tuple(done.added),
        changed=tuple(done.changed),
        unchanged=report.unchanged + done.compared + len(kept),
        compared=done.compared,
        kept=tuple(sorted((*report.kept, *skipped_of(kept)), key=lambda one: one.id)),
        skipped=tuple(sorted((*report.skipped, *skipped_of(skipped)), key=lambda one: one.id)),
        items=items,
    )
