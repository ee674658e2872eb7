"""What an index remembers of its files, for the codes of another model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from kinbits.errors import KinbitsError
from kinbits.hamming import code_width
from kinbits.index.query.search import codes_at
from kinbits.index.store.ids import decode_ids
from kinbits.index.store.state import State
from kinbits.index.sync.records import RecordFile, code_digest

_BLOCK = 1 << 16  # rows at a time


def recode(index: Path, before: State, after: State) -> None:
    """Let records that belong to the codes of one state belong to those of another, so that `sync` has less to do.

    What cannot be read or written is left out: those files are then encoded again.

    Args:
        index: Folder of the index.
        before: Contents with the earlier codes.
        after: Contents with the present codes, of the same files.
    """
    memory = RecordFile(index)
    with suppress(KinbitsError, OSError):
        if memory.path.exists():
            memory.recode(_digests(before, after))


def _digests(before: State, after: State) -> Iterator[tuple[str, bytes, bytes]]:
    width = code_width(before.bits)
    for segment in after.segments:
        for start in range(0, segment.rows, _BLOCK):
            rows = segment.living(start, min(start + _BLOCK, segment.rows))
            origin, at = before.locate(segment.ids[rows])
            held = np.flatnonzero(origin >= 0)
            old = codes_at(before.segments, origin[held], at[held], width)
            ids = decode_ids(segment.ids[rows[held]]).tolist()
            new = segment.codes[rows[held]]
            yield from zip(map(str, ids), map(code_digest, old), map(code_digest, new), strict=True)
