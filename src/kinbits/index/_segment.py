"""Segments: immutable runs of items, sorted by id, so that row order inside a segment is id order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits._errors import ArtefactError, DataError
from kinbits.hamming import Codes
from kinbits.index._filter import Condition
from kinbits.index._ids import Ids, concatenate, readable
from kinbits.index._table import Table

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Items on their way into a segment.

    Attributes:
        codes: uint8 ``(n, w)``, packed.
        ids: int64 or S-bytes ``(n,)``.
        columns: Metadata, each column n plain values long.
    """

    codes: Codes
    ids: Ids
    columns: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(self.ids)

    def sorted(self) -> Batch:
        """Return the batch in order of id.

        Raises:
            DataError: if an id occurs twice.
        """
        order = np.argsort(self.ids, kind="stable")
        ids = self.ids[order]
        twice = np.flatnonzero(ids[1:] == ids[:-1])
        if twice.size:
            raise DataError(f"id {readable(ids[twice[:1]]).tolist()[0]!r} is given twice; ids must be unique")
        columns = {name: [values[row] for row in order] for name, values in self.columns.items()}
        return Batch(self.codes[order], ids, columns)


@dataclass(frozen=True)
class Segment:
    """Items that are never changed, only marked as dead.

    Attributes:
        number: Unique in the index, also over time; names the files.
        codes: uint8 ``(n, w)``, in memory or mapped.
        ids: ``(n,)``, ascending.
        table: Metadata by row.
        dead: Rows that were deleted or replaced, ascending.
    """

    number: int
    codes: Codes
    ids: Ids
    table: Table
    dead: Rows

    @classmethod
    def build(cls, number: int, batch: Batch) -> Segment:
        """Make a segment in memory from a sorted batch."""
        table = Table.build(batch.columns, len(batch))
        return cls(number, np.ascontiguousarray(batch.codes), batch.ids, table, np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.ids) - len(self.dead)

    @cached_property
    def alive(self) -> NDArray[np.bool_]:
        """Which rows are not dead, bool ``(n,)``."""
        mask = np.ones(len(self.ids), dtype=np.bool_)
        mask[self.dead] = False
        return mask

    def locate(self, ids: Ids) -> Rows:
        """Return the row of each id, -1 where the segment does not hold it alive."""
        rows = np.searchsorted(self.ids, ids)
        at = np.minimum(rows, len(self.ids) - 1)
        return np.where((self.ids[at] == ids) & self.alive[at], at, -1)

    def without(self, rows: Rows) -> Segment:
        """Return the segment with more rows marked as dead."""
        return replace(self, dead=np.union1d(self.dead, rows)) if rows.size else self

    def allowed(self, conditions: Sequence[Condition]) -> NDArray[np.bool_] | None:
        """Return which rows a search may find; None if all."""
        if conditions:
            return self.alive & self.table.select(conditions, len(self.ids))
        return self.alive if self.dead.size else None

    def batch(self) -> Batch:
        """Take the living items out again."""
        rows = np.flatnonzero(self.alive)
        metadata = self.table.rows(rows.tolist())
        columns = {name: [row[name] for row in metadata] for name in self.table.columns}
        return Batch(self.codes[rows], self.ids[rows], columns)

    def check(self, bits: int) -> None:
        """Check what every segment promises.

        Raises:
            ArtefactError: if ids are out of order, pad bits are set, or metadata are damaged.
        """
        self.table.check()
        if np.any(self.ids[1:] <= self.ids[:-1]):
            raise ArtefactError(f"segment {self.number}: ids are out of order; rebuild the index")
        if pad_bits_set(self.codes, bits):
            raise ArtefactError(f"segment {self.number}: codes are longer than {bits} bits; rebuild the index")


def merge(batches: Sequence[Batch]) -> Batch:
    """Join batches into one sorted batch; a column that one of them lacks is None there."""
    names = list(dict.fromkeys(name for batch in batches for name in batch.columns))
    columns = {
        name: [value for batch in batches for value in batch.columns.get(name, [None] * len(batch))] for name in names
    }
    codes = np.concatenate([batch.codes for batch in batches])
    return Batch(codes, concatenate([batch.ids for batch in batches]), columns).sorted()


def pad_bits_set(codes: Codes, bits: int) -> bool:
    """Whether any bit beyond the code length is 1."""
    return bool(np.any(codes[:, -1] & (0xFF >> ((bits - 1) % 8 + 1))))


def check_query(codes: Any, bits: int, name: str) -> Codes:
    """Check packed codes of an index's length.

    Raises:
        DataError: for another dtype, dimension or width, or pad bits that are not 0.
    """
    checked = hamming.check_codes(codes, width=hamming.code_width(bits), name=name)
    if pad_bits_set(checked, bits):
        raise DataError(f"{name} have bits set beyond the length of {bits}; pack them with kinbits.hamming.pack")
    return checked
