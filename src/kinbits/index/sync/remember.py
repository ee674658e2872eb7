"""Records of files for items that are added without a synchronisation, so that the first one has less to do."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kinbits.errors import PlatformError
from kinbits.hamming import Codes
from kinbits.index.store.state import State
from kinbits.index.sync.listing import THREADS, FileStamp, content_of
from kinbits.index.sync.plan import FileRecord
from kinbits.index.sync.reading import Reading, file_of
from kinbits.index.sync.records import RecordFile, code_digest
from kinbits.index.sync.tracked import link_to


def remember_files(
    index: Path, state: State, root: str, ids: Sequence[str], stamps: NDArray[np.int64], codes: Codes
) -> None:
    """Record the files of new items that an index holds now, if it follows their folder, or holds no other items.

    Of a file that is not as it was before it was encoded, only the id is noted. What the system refuses to write is
    left out: the first synchronisation finds these files again.

    Args:
        index: Folder of the index.
        state: Contents of the index.
        root: Folder of the files.
        ids: Paths of the files from there, which are the ids of their items.
        stamps: Sizes and times before they were encoded, int64 ``(n, 2)``; -1 where they are not known.
        codes: Packed codes, uint8 ``(n, w)``.
    """
    with suppress(PlatformError):
        memory = RecordFile(index)
        records, link = memory.read(), link_to(Path(root), index)
        if records.root is None and len(state) > len(ids):
            return
        if records.root is not None and os.path.realpath(records.root.find(index) or "") != os.path.realpath(root):
            return
        if records.root is None:
            memory.begin(link, Reading.from_items(state.columns, ids))
        recorded = _recorded(root, ids, stamps, codes)
        memory.expect(id_ for id_ in ids if id_ not in recorded and _file(root, id_).exists())
        memory.put(recorded)


def _recorded(
    root: str, ids: Sequence[str], stamps: NDArray[np.int64], codes: Codes
) -> Mapping[str, tuple[FileRecord, bytes]]:
    rows = np.flatnonzero(stamps[:, 1] >= 0).tolist()
    found: dict[str, tuple[FileRecord, bytes]] = {}
    places = {row: _file(root, ids[row]) for row in rows}
    files = list(dict.fromkeys(places.values()))  # a file with many frames is read once
    with ThreadPoolExecutor(THREADS) as pool:
        contents = dict(zip(files, pool.map(content_of, files), strict=True))
    for row, place in places.items():
        stamp, content = FileStamp(*stamps[row].tolist()), contents[place]
        if content is not None and _is_still(place, stamp):
            found[ids[row]] = FileRecord(stamp, content), code_digest(codes[row])
    return found


def _file(root: str, id_: str) -> Path:
    """Return the file of an item; that of a frame has no number."""
    place = Path(root, id_)
    return place if os.path.lexists(place) else Path(root, file_of(id_))


def _is_still(path: Path, stamp: FileStamp) -> bool:
    with suppress(OSError):
        info = os.stat(path)
        return (info.st_size, info.st_mtime_ns) == (stamp.size, stamp.mtime)
    return False
