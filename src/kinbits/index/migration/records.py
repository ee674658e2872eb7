"""What an index remembers of its files, for the codes of another model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from kinbits.errors import KinbitsError
from kinbits.hamming import code_width
from kinbits.index.migration.notes import Notes
from kinbits.index.query.search import codes_at
from kinbits.index.store.ids import decode_ids
from kinbits.index.store.state import State
from kinbits.index.sync.listing import FileStamp
from kinbits.index.sync.records import RecordFile, code_digest

_BLOCK = 1 << 14  # rows at a time


def recode(index: Path, before: State, after: State, notes: Notes, back: Notes) -> None:
    """Let records of files belong to the codes of another state, so that `sync` has less to do.

    Only where both codes are known to be of the same file as the record. What cannot be read or written is left out:
    those files are then encoded again.

    Args:
        index: Folder of the index.
        before: Contents with the earlier codes.
        after: Contents with the present codes.
        notes: Which files the present codes are of.
        back: Gets notes on the files that the earlier codes are of, for the way back.
    """
    memory = RecordFile(index)
    with suppress(KinbitsError, OSError):
        if not memory.path.exists():
            return
        for block in _blocks(before, after, notes):
            stamps = {id_: stamp for id_, stamp, _, _ in block}
            done = memory.recode(block)
            back.put_stamps({id_: (stamps[id_].size, stamps[id_].mtime) for id_ in done})


def _blocks(before: State, after: State, notes: Notes) -> Iterator[list[tuple[str, FileStamp, bytes, bytes]]]:
    width = code_width(before.bits)
    for segment in after.segments:
        for start in range(0, segment.rows, _BLOCK):
            rows = segment.living(start, min(start + _BLOCK, segment.rows))
            origin, at = before.locate(segment.ids[rows])
            held = np.flatnonzero(origin >= 0)
            old, new = codes_at(before.segments, origin[held], at[held], width), segment.codes[rows[held]]
            ids = list(map(str, decode_ids(segment.ids[rows[held]]).tolist()))
            known = zip(ids, notes.stamps(ids), map(code_digest, old), map(code_digest, new), strict=True)
            yield [(id_, FileStamp(*stamp), one, other) for id_, stamp, one, other in known if stamp is not None]
