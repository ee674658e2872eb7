"""Segments: immutable items sorted by id, so that the order of rows is the order of ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.errors import ArtefactError, DataError
from kinbits.hamming import Codes, MultiIndex
from kinbits.index.filters.column_types import Kind, decoded
from kinbits.index.filters.expression import Expression, null_meets
from kinbits.index.store import bitmap
from kinbits.index.store.bitmap import Bitmap, Rows
from kinbits.index.store.checked_array import CheckedArray, aligned
from kinbits.index.store.ids import Id, Ids
from kinbits.index.store.kept_vectors import Packed
from kinbits.index.store.merge import BLOCK, Merge, SortedRun, no_bytes
from kinbits.index.store.metadata import MetadataTable, Values
from kinbits.index.store.search_tables import SearchTables


@dataclass(frozen=True)
class Segment:
    """Items that never change; deleted ones are marked.

    Attributes:
        number: Number that is never used again in the index; part of file names.
        rows: Number of rows, deleted ones included.
        dead: Number of deleted or replaced rows.
        bounds: First and last id.
        stored_codes: Codes, uint8 ``(n, w)``.
        stored_ids: Ids ``(n,)``, ascending.
        stored_alive: Bitmap of the rows that are not deleted; None if none is deleted.
        stored_vectors: Vectors beside the codes, uint8 ``(n, v)``; None if none are kept.
        stored_concepts: Rows of concepts, uint8 ``(n, c)``; None if those of no item are known.
        table: Metadata; None without columns.
        tables: Search tables for sublinear search; None if they were never built.
    """

    number: int
    rows: int
    dead: int
    bounds: tuple[Id, Id]
    stored_codes: CheckedArray
    stored_ids: CheckedArray
    stored_alive: CheckedArray | None = None
    table: MetadataTable | None = None
    tables: SearchTables | None = None
    stored_vectors: CheckedArray | None = None
    stored_concepts: CheckedArray | None = None

    @classmethod
    def from_runs(cls, number: int, runs: Sequence[SortedRun], block_rows: int = BLOCK) -> Segment:
        """Make a segment in memory."""
        merge = Merge(runs, block_rows)
        ids = aligned(len(merge), (), merge.id_dtype)
        parts = {role: aligned(len(merge), (width,), np.dtype(np.uint8)) for role, width in merge.roles.items()}
        start = 0
        for block_ids, block in merge.blocks(*parts):
            stop = start + len(block_ids)
            ids[start:stop] = block_ids
            for role, rows in block.items():
                parts[role][start:stop] = rows
            start = stop
        return cls(
            number,
            len(ids),
            0,
            (ids[0].item(), ids[-1].item()),
            CheckedArray(parts["codes"]),
            CheckedArray(ids),
            table=MetadataTable.from_rows(merge.kinds, merge.values()) if merge.columns else None,
            stored_vectors=CheckedArray(parts["vectors"]) if "vectors" in parts else None,
            stored_concepts=CheckedArray(parts["concepts"]) if "concepts" in parts else None,
        )

    def __len__(self) -> int:
        return self.rows - self.dead

    @property
    def codes(self) -> Codes:
        """The codes, with a verified checksum."""
        return self.stored_codes.array

    @property
    def ids(self) -> Ids:
        """The ids, with a verified checksum."""
        return self.stored_ids.array

    @property
    def vectors(self) -> Packed:
        """The kept vectors, uint8 ``(n, v)``, with a verified checksum; of width 0 if none are kept."""
        return no_bytes(self.rows) if self.stored_vectors is None else self.stored_vectors.array

    @property
    def concepts(self) -> Packed:
        """The rows of concepts, uint8 ``(n, c)``, with a verified checksum; of width 0 if none are known."""
        return no_bytes(self.rows) if self.stored_concepts is None else self.stored_concepts.array

    @property
    def alive(self) -> Bitmap | None:
        """Bitmap of the rows that are not deleted; None if none is deleted."""
        return None if self.stored_alive is None else self.stored_alive.array

    @property
    def columns(self) -> Sequence[str]:
        """Names of the metadata columns."""
        return self.table.columns if self.table is not None else ()

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Types of the metadata columns by name."""
        return self.table.kinds if self.table is not None else {}

    def files(self) -> dict[str, CheckedArray]:
        """Return the arrays and files of the segment by role."""
        table = self.table.file if self.table is not None else None
        parts = {"codes": self.stored_codes, "ids": self.stored_ids, "alive": self.stored_alive, "rows": table}
        parts |= {"vectors": self.stored_vectors, "concepts": self.stored_concepts}
        return {role: part for role, part in parts.items() if part is not None}

    def require_whole(self, bits: int) -> None:
        """Verify all files before the first search, so that damage never changes a result; later calls are fast.

        Vectors and concepts, which most searches do not read, are verified when they are first read.

        Raises:
            ArtefactError: If a file differs from its checksum; the message names it.
        """
        searched = [part for role, part in self.files().items() if role not in ("vectors", "concepts")]
        if all(part.checked for part in searched):
            return
        for part in searched:
            part.check()
        if (self.ids[0].item(), self.ids[-1].item()) != self.bounds or pad_bits_set(self.codes, bits):
            raise ArtefactError(f"segment {self.number} and its manifest do not fit each other; rebuild the index")

    def require_untouched(self) -> None:
        """Check again those of the checked files that another program has touched since.

        Raises:
            ArtefactError: If a file differs from its checksum; the message names it.
        """
        for part in self.files().values():
            if part.touched:
                part.check()

    def multi_index(self) -> MultiIndex | None:
        """Return the search tables; None if they were never built.

        Raises:
            ArtefactError: If they are missing or damaged, with the remedy.
        """
        return None if self.tables is None else self.tables.index(self.codes)

    def locate(self, ids: Ids) -> Rows:
        """Return the row of each id, -1 where the segment does not hold it alive."""
        first, last = self.bounds
        near = np.flatnonzero((ids >= first) & (ids <= last))
        found = np.full(len(ids), -1, dtype=np.int64)
        if near.size:
            sought = ids[near].astype(self.ids.dtype)  # else NumPy would widen all of the segment's ids
            rows = np.minimum(np.searchsorted(self.ids, sought), self.rows - 1)
            same = self.ids[rows] == ids[near]
            if self.alive is not None:
                same &= bitmap.contains(self.alive, rows)
            found[near[same]] = rows[same]
        return found

    def without(self, rows: Rows) -> Segment:
        """Return the segment with more rows, all of them alive, marked as dead."""
        if not rows.size:
            return self
        rows = np.sort(rows)  # in order nearly always, where np.unique's hashing is slow
        rows = rows[np.concatenate([[True], rows[1:] != rows[:-1]])]
        alive = bitmap.full(self.rows) if self.alive is None else self.alive
        return replace(self, dead=self.dead + len(rows), stored_alive=CheckedArray(bitmap.without(alive, rows)))

    def allowed(self, where: Expression | None) -> Bitmap | None:
        """Return a bitmap of the rows that a search with a bound filter may find; None for all."""
        if where is None:
            return self.alive
        if self.table is not None:
            met = self.table.select(where, self.rows)
            return met if self.alive is None else self.alive & met
        return self.alive if null_meets(where) else np.zeros(bitmap.width(self.rows), np.uint8)

    def allowed_rows(self, where: Expression | None) -> Rows:
        """Return the rows that a search with a bound filter may find, ascending."""
        allow = self.allowed(where)
        return np.arange(self.rows) if allow is None else np.flatnonzero(bitmap.unpack(allow, 0, self.rows))

    def living(self, start: int, stop: int) -> Rows:
        """Return the rows from ``start`` to ``stop - 1`` that are not deleted."""
        if self.alive is None:
            return np.arange(start, stop)
        return start + np.flatnonzero(bitmap.unpack(self.alive, start, stop))

    def values(self, kinds: Mapping[str, Kind]) -> Iterator[Values]:
        """Yield the metadata of rows that are not deleted, as columns of these types store it; else None."""
        if self.table is None or not kinds:
            return repeat((None,) * len(kinds), len(self))
        everything = self.table.values(kinds)
        return everything if self.alive is None else compress(everything, self._flags(self.alive))

    def column_values(self, columns: Sequence[str]) -> Sequence[Values]:
        """Return some columns of all rows that are not deleted; None for missing columns."""
        kinds = {name: self.kinds.get(name, "empty") for name in columns}
        return decoded(list(self.values(kinds)), list(kinds.values()))

    def describe(self, rows: Rows) -> list[dict[str, Any]]:
        """Return the metadata of some rows."""
        return self.table.rows(rows.tolist()) if self.table is not None else [{} for _ in rows]

    def check(self, bits: int) -> None:
        """Check ids, pad bits, deletions and metadata.

        Raises:
            ArtefactError: If ids are out of order, pad bits are set, or metadata are damaged.
        """
        self.require_whole(bits)
        for part in (self.stored_vectors, self.stored_concepts):
            if part is not None:
                part.check()
        self.multi_index()
        if self.table is not None:
            self.table.check(self.rows)
        alive = self.rows if self.alive is None else bitmap.count(self.alive)
        if alive != len(self) or (self.rows % 8 and self.alive is not None and self.alive[-1] >> self.rows % 8):
            raise ArtefactError(f"segment {self.number}: deletions are damaged; rebuild the index")
        if any(np.any(block[1:] <= block[:-1]) for block in _overlapping(self.ids)):
            raise ArtefactError(f"segment {self.number}: ids are out of order; rebuild the index")

    def _flags(self, alive: Bitmap) -> Iterator[bool]:
        for start in range(0, self.rows, BLOCK):
            yield from bitmap.unpack(alive, start, min(start + BLOCK, self.rows)).tolist()


def _overlapping(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield blocks that overlap by one element."""
    return (array[start : start + BLOCK + 1] for start in range(0, len(array), BLOCK))


def pad_bits_set(codes: Codes, bits: int) -> bool:
    """Return whether a bit beyond the code length is 1."""
    pad = 0xFF >> ((bits - 1) % 8 + 1)
    return pad > 0 and any(np.any(codes[start : start + BLOCK, -1] & pad) for start in range(0, len(codes), BLOCK))


def check_query(codes: Any, bits: int, name: str) -> Codes:
    """Check packed codes of an index's length.

    Raises:
        DataError: If dtype, dimension or width do not fit, or a pad bit is not 0.
    """
    checked = hamming.check_codes(codes, width=hamming.code_width(bits), name=name)
    if pad_bits_set(checked, bits):
        raise DataError(f"{name} have bits set beyond the length of {bits}; pack them with kinbits.hamming.pack")
    return checked
