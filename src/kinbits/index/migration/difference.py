"""What has changed between two states of an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinbits.index.query.search import codes_at, metadata_at, vectors_at
from kinbits.index.store.bitmap import Rows
from kinbits.index.store.ids import Ids, concatenate, no_ids
from kinbits.index.store.segment import Segment
from kinbits.index.store.state import State

_BLOCK = 1 << 14  # rows whose metadata are in memory at once


@dataclass(frozen=True)
class Difference:
    """Ids of items that differ.

    Attributes:
        contents: New items, and those with another code or another kept vector.
        metadata: Items whose metadata alone differ.
        gone: Items that only the earlier state holds.
    """

    contents: Ids
    metadata: Ids
    gone: Ids

    def __bool__(self) -> bool:
        return any(map(len, (self.contents, self.metadata, self.gone)))

    @classmethod
    def between(cls, earlier: State, later: State) -> Difference:
        """Compare two states in folders; segments of the same files are not read.

        Raises:
            ArtefactError: If a file is damaged; the message names it.
        """
        known, now = ({_files_of(segment): segment for segment in state.segments} for state in (earlier, later))
        old = _Rows([segment for files, segment in known.items() if files not in now])
        new = _Rows([segment for files, segment in now.items() if files not in known])
        if not old.segments:
            return cls(new.ids, new.ids[:0], no_ids(later.id_kind))
        if not new.segments:
            return cls(no_ids(later.id_kind), no_ids(later.id_kind), old.ids)
        _, at_old, at_new = np.intersect1d(old.ids, new.ids, assume_unique=True, return_indices=True)
        same = np.all(old.stored(at_old) == new.stored(at_new), axis=1)
        relabelled = np.zeros(len(at_old), bool)
        for start in range(0, len(at_old), _BLOCK):
            block = slice(start, start + _BLOCK)
            before, after = old.metadata(at_old[block]), new.metadata(at_new[block])
            relabelled[block] = [_known(one) != _known(other) for one, other in zip(before, after, strict=True)]
        fresh = np.ones(len(new.ids), bool)
        fresh[at_new[same]] = False
        return cls(new.ids[fresh], new.ids[at_new[same & relabelled]], np.delete(old.ids, at_old))


class _Rows:
    """The rows of some segments that are not deleted."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = segments
        living = [segment.living(0, segment.rows) for segment in segments]
        self._origin = np.repeat(np.arange(len(living)), list(map(len, living)))
        self._rows: Rows = np.concatenate(living) if living else np.zeros(0, np.int64)
        parts = [segment.ids[rows] for segment, rows in zip(segments, living, strict=True)]
        self.ids: Ids = concatenate(parts) if parts else np.zeros(0, np.int64)

    def stored(self, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return codes and kept vectors of some rows as they are stored, uint8 ``(n, w + v)``."""
        where = self.segments, self._origin[places], self._rows[places]
        return np.hstack([codes_at(*where, self.segments[0].codes.shape[1]), vectors_at(*where)])

    def metadata(self, places: NDArray[np.int64]) -> list[dict[str, object]]:
        """Return the metadata of some rows."""
        return metadata_at(self.segments, self._origin[places], self._rows[places])


def _files_of(segment: Segment) -> tuple[str, ...]:
    """Return what tells the contents of a segment: the checksums of its files."""
    files = sorted(segment.files().items())
    return tuple(f"{role} {part.entry.checksum}" for role, part in files if part.entry is not None)


def _known(row: dict[str, object]) -> dict[str, object]:
    """Return what there is, with its types: 1, 1.0 and True are different values."""
    return {name: (type(value), value) for name, value in row.items() if value is not None}
