"""Merging runs of items sorted by id, block by block, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kinbits._util import lazy
from kinbits.errors import ArtefactError, DataError
from kinbits.hamming import Codes
from kinbits.index.filters.column_types import Kind, column_as_stored, joined, kind_of_values
from kinbits.index.store.bitmap import Rows
from kinbits.index.store.ids import Ids, decode_ids
from kinbits.index.store.kept_vectors import Packed
from kinbits.index.store.metadata import Values

BLOCK = 1 << 18  # rows of each run that are read together


class SortedRun(Protocol):
    """Items in ascending order of id: a batch, or a segment."""

    @property
    def codes(self) -> Codes:
        """Packed codes, uint8 ``(n, w)``."""

    @property
    def ids(self) -> Ids:
        """Ids in ascending order."""

    @property
    def vectors(self) -> Packed:
        """Kept vectors, uint8 ``(n, v)``; of width 0 if none are kept."""

    @property
    def concepts(self) -> Packed:
        """Rows of concepts, uint8 ``(n, c)``; of width 0 if none are known."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the metadata columns."""

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Types of the columns by name."""

    def require_untouched(self) -> None:
        """Raise if another program has changed a file since it was first read."""
        ...

    def living(self, start: int, stop: int) -> Rows:
        """Return the rows from ``start`` to ``stop - 1`` that are not deleted."""
        ...

    def values(self, kinds: Mapping[str, Kind]) -> Iterator[Values]:
        """Yield the metadata of rows that are not deleted, as columns of these types store it; else None."""
        ...

    def __len__(self) -> int:
        """Return the number of rows that are not deleted."""
        ...


@dataclass(frozen=True)
class Batch:
    """Items to be stored in a segment.

    Attributes:
        codes: uint8 ``(n, w)``, packed.
        ids: int64 or S-bytes ``(n,)``.
        metadata: Columns of n plain values each.
        kept: Vectors as they are stored, uint8 ``(n, v)``; None if none are kept.
        classes: Rows of concepts, uint8 ``(n, c)``; None if none are known.
    """

    codes: Codes
    ids: Ids
    metadata: Mapping[str, Sequence[Any]]
    kept: Packed | None = None
    classes: Packed | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def vectors(self) -> Packed:
        """Kept vectors, uint8 ``(n, v)``; of width 0 if none are kept."""
        return no_bytes(len(self)) if self.kept is None else self.kept

    @property
    def concepts(self) -> Packed:
        """Rows of concepts, uint8 ``(n, c)``; of width 0 if none are known."""
        return no_bytes(len(self)) if self.classes is None else self.classes

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns."""
        return tuple(self.metadata)

    @lazy
    def kinds(self) -> Mapping[str, Kind]:
        """Types of the columns by name."""
        return {name: kind_of_values(values) for name, values in self.metadata.items()}

    def require_untouched(self) -> None:
        """Do nothing, because a batch is in memory."""

    def living(self, start: int, stop: int) -> Rows:
        """Return all rows from ``start`` to ``stop - 1``."""
        return np.arange(start, stop)

    def values(self, kinds: Mapping[str, Kind]) -> Iterator[Values]:
        """Yield the metadata as stored in columns of these types; None for missing columns."""
        given = ((self.metadata.get(name) or repeat(None, len(self)), kind) for name, kind in kinds.items())
        parts = [column_as_stored(values, kind) for values, kind in given]
        return zip(*parts, strict=True)

    def sorted(self) -> Batch:
        """Return the batch in order of id.

        Raises:
            DataError: If an id occurs twice.
        """
        if np.all(self.ids[1:] > self.ids[:-1]):
            return self
        order = np.argsort(self.ids, kind="stable")
        ids = self.ids[order]
        twice = np.flatnonzero(ids[1:] == ids[:-1])
        if twice.size:
            raise DataError(f"id {decode_ids(ids[twice[:1]]).tolist()[0]!r} is given twice; ids must be unique")
        kept, classes = (None if rows is None else rows[order] for rows in (self.kept, self.classes))
        if not self.metadata:
            return Batch(self.codes[order], ids, {}, kept, classes)
        pick = itemgetter(*order.tolist())  # of two rows or more, since one row is sorted
        metadata = {name: pick(values) for name, values in self.metadata.items()}
        return Batch(self.codes[order], ids, metadata, kept, classes)


@dataclass(frozen=True)
class Merge:
    """Several runs as one; the ids of rows that are not deleted are distinct.

    Attributes:
        runs: Runs to merge, at least one.
        block_rows: Rows of each run that are read together.
    """

    runs: Sequence[SortedRun]
    block_rows: int = BLOCK

    def __len__(self) -> int:
        return sum(map(len, self.runs))

    @property
    def columns(self) -> list[str]:
        """Names of the columns of all runs."""
        return list(dict.fromkeys(name for run in self.runs for name in run.columns))

    @lazy
    def kinds(self) -> Mapping[str, Kind]:
        """Types of the columns of all runs by name."""
        known = [run.kinds for run in self.runs]
        return {name: joined(kinds[name] for kinds in known if name in kinds) for name in self.columns}

    @property
    def id_dtype(self) -> np.dtype[Any]:
        """The dtype that holds the ids of all runs."""
        return np.result_type(*(run.ids.dtype for run in self.runs))

    @lazy
    def roles(self) -> dict[str, int]:
        """Bytes of a row of what is stored beside the ids: codes, and vectors and concepts if any run has them."""
        widths = {role: max(_width(run, role) for run in self.runs) for role in ("codes", "vectors", "concepts")}
        return {role: width for role, width in widths.items() if width}

    def blocks(self, *roles: str) -> Iterator[tuple[Ids, dict[str, NDArray[np.uint8]]]]:
        """Yield ids, and the rows of some `roles`, in order of id.

        Raises:
            ArtefactError: If another program changed the file of a run, which would get a new checksum.
        """
        self._require_untouched()
        for parts in self._steps():
            ids = self._ids(parts)
            order = _order(ids, parts)
            yield ids if order is None else ids[order], {role: self._rows(role, parts, order) for role in roles}
        self._require_untouched()

    def _rows(self, role: str, parts: Sequence[Rows], order: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        width = self.roles[role]
        found = np.zeros((sum(map(len, parts)), width), np.uint8)  # a run without concepts gives zeros
        start = 0
        for run, rows in zip(self.runs, parts, strict=True):
            stop = start + len(rows)
            if _width(run, role):
                found[start:stop] = getattr(run, role)[rows]
            start = stop
        return found if order is None else found[order]

    def values(self) -> Iterator[Values]:
        """Yield the metadata in order of id, as stored in columns of `kinds`."""
        kinds = self.kinds
        rows = [run.values(kinds) for run in self.runs]
        return chain.from_iterable(islice(rows[run], length) for run, length in self._turns())

    def _require_untouched(self) -> None:
        for run in self.runs:
            run.require_untouched()

    def _turns(self) -> Iterator[tuple[int, int]]:
        """Yield the run of the next items, and their number."""
        for parts in self._steps():
            ids = self._ids(parts)
            origin = np.repeat(np.arange(len(parts)), [len(rows) for rows in parts])
            order = _order(ids, parts)
            origin = origin if order is None else origin[order]
            borders = np.concatenate([[0], np.flatnonzero(np.diff(origin)) + 1, [len(origin)]])
            yield from zip(origin[borders[:-1]].tolist(), np.diff(borders).tolist(), strict=True)

    def _ids(self, parts: Sequence[Rows]) -> Ids:
        """Return the ids of some rows of each run."""
        ids = [run.ids[rows] for run, rows in zip(self.runs, parts, strict=True)]
        return np.concatenate(ids, dtype=self.id_dtype)

    def _steps(self) -> Iterator[list[Rows]]:
        """Yield the next rows of each run, up to the smallest last id of all blocks."""
        starts, lengths = [0] * len(self.runs), [len(run.ids) for run in self.runs]
        while any(start < length for start, length in zip(starts, lengths, strict=True)):
            windows = [run.ids[start : start + self.block_rows] for run, start in zip(self.runs, starts, strict=True)]
            last = min(window[-1] for window in windows if len(window))
            parts, before = [], sum(starts)
            for number, (run, window) in enumerate(zip(self.runs, windows, strict=True)):
                stop = starts[number] + int(np.searchsorted(window, last, side="right"))
                parts.append(run.living(starts[number], stop))
                starts[number] = stop
            if sum(starts) == before:
                raise ArtefactError("ids are out of order; rebuild the index from its codes")
            if any(map(len, parts)):
                yield parts


def no_bytes(rows: int) -> Packed:
    """Return what is stored of items whose vectors or concepts are not kept: rows of no bytes."""
    return np.zeros((rows, 0), np.uint8)


def _width(run: SortedRun, role: str) -> int:
    width: int = getattr(run, role).shape[1]
    return width


def _order(ids: Ids, parts: Sequence[Rows]) -> NDArray[np.int64] | None:
    """Return the order that sorts joined parts; None if they are sorted."""
    one_part = sum(map(bool, map(len, parts))) == 1
    return None if one_part else np.argsort(ids, kind="stable")
