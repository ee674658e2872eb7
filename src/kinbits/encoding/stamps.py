"""Sizes and times of image files when their encoding begins, by which a later run sees what has changed."""

from __future__ import annotations

import os
import time

import numpy as np
from numpy.typing import NDArray

from kinbits.data import CroppedItems, Dataset, FrameItems, PathItems

_SECOND = 1_000_000_000
# ns: a file that was changed as shortly ago may change again without getting another time. File systems that keep
# fractions of a second round to a tick of the kernel's clock, 10 ms at most; FAT rounds to two seconds.
_TICK, _COARSE = 100_000_000, 2 * _SECOND


def file_stamps(dataset: Dataset) -> NDArray[np.int64] | None:
    """Return sizes in bytes and times of change in ns, int64 ``(n, 2)``, of files whose paths are the ids of items.

    The id of a frame is the path of its file with ``#`` and its number. A time is -1 where the file has another path,
    is missing, or was changed a moment ago; see `settled_time`.

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
    """Return the time of change of a file in ns; -1 if another change could have given it the same time.

    That is so in the tenth of a second before ``now``, in ns, and in the two seconds before it where the time of the
    file is a whole second.
    """
    unsettled = _TICK if info.st_mtime_ns % _SECOND else _COARSE
    return info.st_mtime_ns if info.st_mtime_ns < now - unsettled else -1
