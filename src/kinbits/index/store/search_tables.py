"""Search tables of a segment: one file, derived from the codes, which can be built again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits.errors import ArtefactError, DataError
from kinbits.hamming import Codes, MultiIndex
from kinbits.index.store.checked_array import CheckedArray, FileEntry
from kinbits.index.store.options import DEFAULT

MOST_ROWS = 2**32 - 2  # of one MultiIndex
_ALIGNMENT = 64  # bytes


@dataclass(frozen=True)
class ArrayEntry:
    """An array in the file.

    Attributes:
        dtype: Its dtype.
        shape: Its shape.
        start: Its first byte.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def stop(self) -> int:
        """The first byte after the array."""
        return self.start + int(np.prod(self.shape, dtype=object)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class TablesEntry:
    """The file of search tables.

    Attributes:
        file: Name, size and checksum.
        arrays: Arrays in the file by name.
    """

    file: FileEntry
    arrays: Mapping[str, ArrayEntry]


class SearchTables:
    """Search tables of one segment, opened on first use."""

    def __init__(self, made: MultiIndex | None = None, entry: TablesEntry | None = None) -> None:
        """Take tables in memory; for a file use `open`."""
        self.entry = entry
        self._made = made
        self._file: CheckedArray | None = None
        self._folder = Path()
        self.missing = False

    @classmethod
    def open(
        cls, folder: Path, entry: TablesEntry, folder_fd: int | None = None, mapped_bytes: int = DEFAULT.mapped_bytes
    ) -> SearchTables:
        """Map the file, see `CheckedArray.open`.

        If that fails, the first use raises, because codes can be searched without tables.
        """
        tables = cls(entry=entry)
        tables._folder = folder
        try:
            tables._file = CheckedArray.open(folder, entry.file, folder_fd=folder_fd, mapped_bytes=mapped_bytes)
        except (OSError, ArtefactError):
            tables.missing = True
        return tables

    def index(self, codes: Codes) -> MultiIndex:
        """Return the tables over their codes; verified on first use, and again after the file was touched.

        Raises:
            ArtefactError: If they are missing, damaged or do not fit the codes.
        """
        if self._made is None or (self._file is not None and not self._file.checked):
            try:
                self._made = MultiIndex.from_arrays(codes, self._arrays())
            except (ArtefactError, DataError):
                name = self.entry.file.name if self.entry is not None else "tables"
                raise ArtefactError(
                    f"the search tables {name} in {self._folder} are missing or damaged; build them again with "
                    "Index.optimize() or `kinbits index optimize`"
                ) from None
        return self._made

    def usable(self, codes: Codes) -> bool:
        """Return whether the tables are complete."""
        try:
            self.index(codes)
        except ArtefactError:
            return False
        return True

    def _arrays(self) -> dict[str, NDArray[Any]]:
        if self._file is None or self.entry is None:
            raise ArtefactError("missing")
        self._file.check()
        raw = self._file.array
        return {
            name: raw[array.start : array.stop].view(array.dtype).reshape(array.shape)
            for name, array in self.entry.arrays.items()
        }


def arranged(arrays: Mapping[str, NDArray[Any]]) -> dict[str, ArrayEntry]:
    """Return the place of each array in the file."""
    entries, start = {}, 0
    for name, array in arrays.items():
        entries[name] = ArrayEntry(array.dtype.str, array.shape, start)
        start = behind(entries[name])
    return entries


def behind(array: ArrayEntry) -> int:
    """Return the first byte of the next array, at a cache line."""
    return -(-array.stop // _ALIGNMENT) * _ALIGNMENT
