"""Arrays of a segment: in memory, or mapped and compared with their checksum before their first use."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from kinbits._errors import ArtefactError

_CACHE_LINE = 64


@dataclass(frozen=True)
class FileEntry:
    """A file as it was written: name inside the folder, bytes, XXH3 (128 bits) in hex."""

    name: str
    bytes: int
    checksum: str


class Stored:
    """An array that nobody gets to see before it is known to be whole.

    Attributes:
        entry: What its file must be; None in memory.
    """

    def __init__(self, array: NDArray[Any], entry: FileEntry | None = None, folder: Path | None = None) -> None:
        self._array = array
        self.entry = entry
        self._folder = folder
        self._checked = entry is None

    @classmethod
    def map(cls, folder: Path, entry: FileEntry, dtype: str = "u1", columns: int | None = None) -> Stored:
        """Map a file without reading it.

        Raises:
            FileNotFoundError: if it is not there.
            ArtefactError: if it is not as long as it was.
        """
        path = folder / entry.name
        _require_length(path, entry)
        # a plain view: np.memmap's own class costs time in every slice
        flat = np.asarray(np.memmap(path, np.dtype(dtype), mode="r"))
        return cls(flat if columns is None else flat.reshape(-1, columns), entry, folder)

    @property
    def array(self) -> NDArray[Any]:
        """The array itself, checked the first time.

        Raises:
            ArtefactError: if the file is not what was written.
        """
        self.check()
        return self._array

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the array."""
        return self._array.dtype

    @property
    def checked(self) -> bool:
        """Whether it is known to be whole."""
        return self._checked

    def check(self) -> None:
        """Compare with the checksum, once.

        Raises:
            ArtefactError: if it differs.
        """
        if not self._checked and self.entry is not None and self._folder is not None:
            with suppress(FileNotFoundError):  # a writer has moved on; the map keeps what the name has lost
                _require_length(self._folder / self.entry.name, self.entry)  # reading beyond the end kills the process
            if checksum(self._array) != self.entry.checksum:
                raise ArtefactError(
                    f"{self.entry.name} in {self._folder} differs from its checksum; "
                    "restore it from a backup or rebuild the index"
                )
            self._checked = True


def _require_length(path: Path, entry: FileEntry) -> None:
    size = path.stat().st_size
    if size != entry.bytes:
        raise ArtefactError(
            f"{path} is {size} bytes long instead of {entry.bytes}; restore it from a backup or rebuild the index"
        )


def checksum(array: NDArray[Any]) -> str:
    """Return XXH3 (128 bits) of an array's bytes, in hex."""
    return xxhash.xxh3_128(raw_bytes(array)).hexdigest()


def raw_bytes(array: NDArray[Any]) -> memoryview:
    """Return a view of a C-contiguous array's bytes."""
    return memoryview(array.reshape(-1).view(np.uint8).data)


def aligned(rows: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Make an array ``(rows, *shape)`` that begins at a cache line, as mapped ones do."""
    size = rows * int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(size + _CACHE_LINE, dtype=np.uint8)
    start = -raw.ctypes.data % _CACHE_LINE
    return raw[start : start + size].view(dtype).reshape(rows, *shape)
