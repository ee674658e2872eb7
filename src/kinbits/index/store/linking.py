"""Files of one index in the folder of another: hard links, so that neither time nor space grows with the codes."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from kinbits._util import sync_file
from kinbits.index.store.folder import Folder, platform_errors
from kinbits.index.store.manifest import SegmentEntry, file_name
from kinbits.index.store.segment import Segment
from kinbits.index.store.state import State


def linked_state(state: State, origin: Path, folder: Folder, first: int = 1, generation: int = 0) -> State:
    """Return a state with its files in another folder too, to be committed there; call inside `Folder.writing`.

    Files of an index are never changed, so two folders may share them. Where the system makes no links, e.g. between
    two disks, they are copied.

    Args:
        state: The state, as it is on disk in ``origin``. No writer may change that folder meanwhile.
        origin: The folder of its files.
        folder: The other folder.
        first: Number of the first segment there.
        generation: Generation there.

    Raises:
        PlatformError: If a file cannot be linked or written.
    """
    numbers = range(first, first + len(state.segments))
    with platform_errors(folder.path):
        segments = tuple(
            _linked(segment, origin, folder, number, generation)
            for segment, number in zip(state.segments, numbers, strict=True)
        )
    return replace(state, segments=segments, next_segment=max(numbers.stop, 1), generation=generation)


def _linked(segment: Segment, origin: Path, folder: Folder, number: int, generation: int) -> Segment:
    entry = SegmentEntry.from_segment(segment)
    names = {role: file_name(number, role, segment.dead) for role in entry.files}
    files = {role: replace(file, name=names[role]) for role, file in entry.files.items()}
    for role, file in entry.files.items():
        _put(origin / file.name, folder, names[role])
    tables = None
    if entry.tables is not None and segment.tables is not None and not segment.tables.missing:
        place = replace(entry.tables.file, name=file_name(number, "tables", generation))
        _put(origin / entry.tables.file.name, folder, place.name)
        tables = replace(entry.tables, file=place)
    return folder.open_segment(replace(entry, number=number, files=files, tables=tables))


def _put(source: Path, folder: Folder, name: str) -> None:
    target = folder.path / name
    with suppress(FileNotFoundError):
        target.unlink()  # left by a killed writer
    try:
        os.link(source, target, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or a system without links
        shutil.copyfile(source, target)
        sync_file(target)
