"""Ids, codes and metadata of an `Index` at one moment, for engines that build on it.

Only this file of the engines knows how an `Index` stores its items.
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
Version = tuple[int, str]  # generation and digest of the manifest, which differs for another index


class IndexSnapshot:
    """The contents of an index at one moment; later changes of the index do not change it.

    Attributes:
        width: Bytes of a code.
        version: Identity of the contents.
        image_roots: Folders from which paths of images start.
        columns: Names of the metadata columns.
    """

    def __init__(self, index: Index) -> None:
        self._state = index._state
        self._segments = self._state.segments
        self.width = code_width(index.bits)
        self.version: Version = self._state.generation, index.stamp
        self.image_roots = self._state.image_roots
        self.columns = self._state.columns

    def __len__(self) -> int:
        return sum(map(len, self._segments))

    def items(self) -> tuple[Ids, Codes]:
        """Return ids and codes of all items, copied."""
        alive = [segment.living(0, segment.rows) for segment in self._segments]
        codes = [segment.codes[rows] for segment, rows in zip(self._segments, alive, strict=True)]
        ids = concatenate([segment.ids[rows] for segment, rows in zip(self._segments, alive, strict=True)])
        return ids, np.concatenate(codes) if codes else np.zeros((0, self.width), np.uint8)

    def codes(self, ids: Ids) -> tuple[NDArray[np.bool_], Codes]:
        """Return whether each id is in the index, bool ``(n,)``, and the codes of those that are."""
        origin, rows = self._locate(ids)
        found = origin >= 0
        return found, codes_at(self._segments, origin[found], rows[found], self.width)

    def metadata(self, ids: Ids) -> list[dict[str, Any]]:
        """Return the metadata of ids, which must be in the index."""
        return metadata_at(self._segments, *self._locate(ids))

    def _locate(self, ids: Ids) -> tuple[Rows, Rows]:
        """Return the segment of each id and its row there; -1 if no segment holds it."""
        return self._state.locate(ids)
