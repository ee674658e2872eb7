"""Where the items of an index are read from again: the files that it knows, or a data set that is named again."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kinbits.data import EXTENSIONS, Dataset, FrameItems, PathItems, Skipped, paths_of_id

Names = NDArray[Any]
Row = Mapping[str, Any]
Stamp = tuple[int, int]
"""Size of a file, and the time of its last change in ns."""
_SETTLED = 2 * 10**9  # ns after which a further change has another time


@dataclass(frozen=True)
class Part:
    """Some items.

    Attributes:
        dataset: Those that are there, in the order that they were asked for; None if there are none.
        missing: The others, with reasons.
        stamps: Id -> stamp of the file, for files that have not changed just now.
    """

    dataset: Dataset | None
    missing: tuple[Skipped, ...] = ()
    stamps: Mapping[str, Stamp] = field(default_factory=dict)


class Source(Protocol):
    """Items by id.

    Attributes:
        kind: Kind of the items: ``"image"`` or ``"vector"``.
        from_files: Whether each item is a file, which may have changed since it was encoded.
    """

    kind: str
    from_files: bool

    def part(self, ids: Names, rows: Sequence[Row], roots: Sequence[str]) -> Part:
        """Return some items.

        Args:
            ids: int64 or str ``(n,)``.
            rows: Metadata of the items.
            roots: Folders that paths start from.
        """
        ...


class StoredFiles:
    """The image files of items: ``path`` of their metadata, or else the id, or another column where the id is none."""

    kind, from_files = "image", True

    def part(self, ids: Names, rows: Sequence[Row], roots: Sequence[str]) -> Part:
        """See `Source`."""
        found = [_file_of(id_, row, roots) for id_, row in zip(ids.tolist(), rows, strict=True)]
        here = np.array([not isinstance(one, str) for one in found], bool)
        missing = tuple(
            Skipped(str(id_), one) for id_, one in zip(ids.tolist(), found, strict=True) if isinstance(one, str)
        )
        places = [one for one in found if not isinstance(one, str)]
        if not places:
            return Part(None, missing)
        stamps = {str(id_): _stamp(path) for id_, (path, _) in zip(ids[here].tolist(), places, strict=True)}
        paths, frames = [path for path, _ in places], [frame or 0 for _, frame in places]
        several = any(frame is not None for _, frame in places)
        items = FrameItems(paths, np.array(frames)) if several else PathItems(paths)
        settled = {id_: stamp for id_, stamp in stamps.items() if stamp is not None and _is_settled(stamp)}
        return Part(Dataset(items, ids[here], name="items of the index"), missing, settled)


def other_files(
    ids: Names, rows: Sequence[Row], roots: Sequence[str], known: Sequence[Stamp | None]
) -> NDArray[np.bool_]:
    """Return which items have another file now than the one with a known stamp, bool ``(n,)``; not those without one.

    Args:
        ids: int64 or str ``(n,)``.
        rows: Metadata of the items.
        roots: Folders that paths start from.
        known: Stamps of the files that they were encoded from.
    """
    found = [_file_of(id_, row, roots) for id_, row in zip(ids.tolist(), rows, strict=True)]
    now = [None if isinstance(one, str) else _stamp(one[0]) for one in found]
    return np.array([one is not None and one != before for one, before in zip(now, known, strict=True)], bool)


class NamedData:
    """The rows of a data set with the ids of the items.

    Args:
        dataset: The data set.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset, self.kind, self.from_files = dataset, dataset.kind, False
        self._rows = {id_: row for row, id_ in enumerate(dataset.ids.tolist())}
        self._unreadable = {one.id: one for one in dataset.skipped}

    def part(self, ids: Names, rows: Sequence[Row], roots: Sequence[str]) -> Part:
        """See `Source`."""
        names = ids.tolist()
        missing = tuple(
            self._unreadable.get(str(id_), Skipped(str(id_), f"it is not in {self._dataset.name}"))
            for id_ in names
            if id_ not in self._rows
        )
        chosen = [self._rows[id_] for id_ in names if id_ in self._rows]
        return Part(self._dataset.select(np.array(chosen)) if chosen else None, missing)


def _file_of(id_: Any, row: Row, roots: Sequence[str]) -> tuple[Path, int | None] | str:
    """Return the file of an item and the frame there; or why there is none.

    Only one value names the file: a copy elsewhere, or another value that happens to be a path, must not be encoded
    instead of a file that is gone.
    """
    named = [value for value in (row.get("path"), id_) if _is_image(value)][:1]
    values = named or [value for value in row.values() if _is_image(value)]
    found = {place: None for value in values for place in _places(str(value), roots)}
    if len(found) > 1:
        return f"{len(found)} files could be this item; name the data that hold it"
    return next(iter(found), "no file of this item is found")


def _places(value: str, roots: Sequence[str]) -> list[tuple[Path, int | None]]:
    """Return the files that a path may mean: those of the first reading of it that has any."""
    for name, frame in paths_of_id(value):
        absolute = os.path.isabs(name)
        files = {os.path.realpath(os.path.join(root, name)) for root in (["/"] if absolute else roots)}
        here = [(Path(file), frame) for file in sorted(files) if _is_image(name) and os.path.isfile(file)]
        if here:
            return here
    return []


def _is_image(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    return any(Path(name).suffix.lower() in EXTENSIONS for name, _ in paths_of_id(value))


def _stamp(path: Path) -> Stamp | None:
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_size, info.st_mtime_ns


def _is_settled(stamp: Stamp) -> bool:
    return time.time_ns() - stamp[1] > _SETTLED
