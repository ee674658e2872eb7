"""What an engine beside an embedded index takes from it: ids and codes of living items, and their metadata.

The only file of the engines that knows how an `Index` keeps its items.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits.hamming import Codes, code_width
from kinbits.index.index import Index
from kinbits.index.query.search import codes_at, metadata_at
from kinbits.index.store.ids import Ids, concatenate

Rows = NDArray[np.int64]
Version = tuple[int, str]  # generation, and digest of the manifest: another index may have been moved to the place


class IndexSnapshot:
    """A view of an index at one moment; it stays as it is when the index goes on.

    Attributes:
        width: Bytes of a code.
        version: What these contents are known by.
    """

    def __init__(self, index: Index) -> None:
        self._state = index._state
        self._segments = self._state.segments
        self.width = code_width(index.bits)
        self.version: Version = self._state.generation, index.stamp

    def __len__(self) -> int:
        return sum(map(len, self._segments))

    def items(self) -> tuple[Ids, Codes]:
        """Return ids and codes of all items, copied."""
        alive = [segment.living(0, segment.rows) for segment in self._segments]
        codes = [segment.codes[rows] for segment, rows in zip(self._segments, alive, strict=True)]
        ids = concatenate([segment.ids[rows] for segment, rows in zip(self._segments, alive, strict=True)])
        return ids, np.concatenate(codes) if codes else np.zeros((0, self.width), np.uint8)

    def codes(self, ids: Ids) -> tuple[NDArray[np.bool_], Codes]:
        """Return which ids are held, bool ``(n,)``, and the codes of these."""
        origin, rows = self._locate(ids)
        found = origin >= 0
        return found, codes_at(self._segments, origin[found], rows[found], self.width)

    def metadata(self, ids: Ids) -> list[dict[str, Any]]:
        """Return the metadata of ids that are held."""
        return metadata_at(self._segments, *self._locate(ids))

    def _locate(self, ids: Ids) -> tuple[Rows, Rows]:
        """Return each id's segment and row there, -1 where none holds it."""
        return self._state.locate(ids)
