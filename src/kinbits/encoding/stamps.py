"""Sizes and times of image files when their encoding begins, by which a later run sees what has changed."""

from __future__ import annotations

import os
import time

import numpy as np
from numpy.typing import NDArray

from kinbits.data import CroppedItems, Dataset, FrameItems, PathItems

_UNSETTLED = 2_000_000_000  # ns: a file that was changed as shortly ago may change again without getting another time


def file_stamps(dataset: Dataset) -> NDArray[np.int64] | None:
    """Return sizes in bytes and times of change in ns, int64 ``(n, 2)``, of files whose paths are the ids of items.

    The id of a frame is the path of its file with ``#`` and its number. A time is -1 where the file has another path,
    is missing, or was changed in the last two seconds.

    Returns:
        None if the items are no files of one folder.
    """
    if not isinstance(dataset.items, PathItems) or isinstance(dataset.items, CroppedItems) or dataset.root is None:
        return None
    now, root = time.time_ns(), os.fspath(dataset.root)
    framed = isinstance(dataset.items, FrameItems)
    found = np.full((len(dataset), 2), -1, np.int64)
    for row, (id_, path) in enumerate(zip(dataset.ids.tolist(), dataset.items.paths, strict=True)):
        place, file = os.path.join(root, str(id_)), os.path.abspath(path)
        if file == place or (framed and file == place.rpartition("#")[0]):
            found[row] = _stamp(path, now)
    return found


def _stamp(path: str | os.PathLike[str], now: int) -> tuple[int, int]:
    try:
        info = os.stat(path)
    except OSError:
        return -1, -1
    return info.st_size, settled_time(info, now)


def settled_time(info: os.stat_result, now: int) -> int:
    """Return the time of change of a file in ns; -1 if it was changed in the two seconds before ``now``, in ns."""
    return info.st_mtime_ns if info.st_mtime_ns < now - _UNSETTLED else -1
