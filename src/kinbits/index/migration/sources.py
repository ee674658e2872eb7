"""Where the items of an index are read from again: the files that it knows, or a data set that is named again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kinbits.data import Dataset, FrameItems, PathItems, Skipped
from kinbits.errors import UsageError
from kinbits.index.image_places import image_places

Names = NDArray[Any]


class Source(Protocol):
    """Items by id."""

    def part(self, ids: Names, rows: Sequence[Mapping[str, Any]]) -> tuple[Dataset | None, tuple[Skipped, ...]]:
        """Return those of some items that are there, in the order of the ids, and the others with the reason.

        Args:
            ids: int64 or str ``(n,)``.
            rows: Metadata of the items.
        """
        ...


class StoredFiles:
    """The image files of items: their paths are ids or metadata.

    Args:
        roots: Folders that the paths start from.
    """

    def __init__(self, roots: Sequence[str | Path]) -> None:
        self._roots = roots

    def part(self, ids: Names, rows: Sequence[Mapping[str, Any]]) -> tuple[Dataset | None, tuple[Skipped, ...]]:
        """See `Source`."""
        found = [next(image_places({"id": id_, **row}, self._roots), None) for id_, row in zip(ids, rows, strict=True)]
        here = np.array([place is not None for place in found], bool)
        missing = tuple(Skipped(str(id_), "no file of this item is found") for id_ in ids[~here].tolist())
        places = [place for place in found if place is not None]
        if not places:
            return None, missing
        paths, frames = [path for path, _ in places], [frame or 0 for _, frame in places]
        several = any(frame is not None for _, frame in places)
        items = FrameItems(paths, np.array(frames)) if several else PathItems(paths)
        return Dataset(items, ids[here], name="items of the index"), missing


class NamedData:
    """The rows of a data set with the ids of the items.

    Args:
        dataset: The data set.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._rows = {id_: row for row, id_ in enumerate(dataset.ids.tolist())}
        self._unreadable = {one.id: one for one in dataset.skipped}

    def part(self, ids: Names, rows: Sequence[Mapping[str, Any]]) -> tuple[Dataset | None, tuple[Skipped, ...]]:
        """See `Source`."""
        names = ids.tolist()
        missing = tuple(
            self._unreadable.get(str(id_), Skipped(str(id_), f"it is not in {self._dataset.name}"))
            for id_ in names
            if id_ not in self._rows
        )
        chosen = [self._rows[id_] for id_ in names if id_ in self._rows]
        return (self._dataset.select(np.array(chosen)) if chosen else None), missing


def source_of(data: Dataset | None, roots: Sequence[str | Path], columns: Sequence[str], id_kind: str | None) -> Source:
    """Return the named data set, or else the files that an index knows.

    Raises:
        UsageError: If no data set is named, and the items have no paths.
    """
    if data is not None:
        return NamedData(data)
    if id_kind == "int" and not columns:
        raise UsageError("the items of this index have no paths to read them from; name their data: --data DATA")
    return StoredFiles(roots)
