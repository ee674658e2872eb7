"""Arrays of a segment, in memory or in a file whose checksum is verified before its first use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from kinbits._util import open_regular
from kinbits.errors import ArtefactError
from kinbits.hamming import _native
from kinbits.index.store.options import DEFAULT

_CACHE_LINE = 64

FileStamp = tuple[int, int, int]  # size and time of change of a mapped file, and number of lost pages of the process
_FIXED: FileStamp = (-1, 0, 0)  # in memory, where nothing can change
_GONE = -2  # as a size: the file has lost its name, but the map keeps it


@dataclass(frozen=True)
class FileEntry:
    """A file as it was written.

    Attributes:
        name: Name in the folder of the index.
        bytes: Size.
        checksum: XXH3 (128 bits), hex.
    """

    name: str
    bytes: int
    checksum: str


class CheckedArray:
    """An array whose checksum is verified before its first use, and again after its mapped file was touched.

    A map shares its pages with the file: a program that writes into the file, such as a restored backup, would change
    the answers of everyone who has it open. So `check` compares size and time of change of the file before every
    search and every change of an index; `detect_truncation` notices what happens during one. A map whose file has lost
    its name is compared once more, because later changes of that file cannot be seen.

    Attributes:
        entry: Size and checksum of its file; None in memory.
        mapped: Device and inode of the mapped file; None if its bytes are in memory.
    """

    def __init__(self, array: NDArray[Any], entry: FileEntry | None = None, path: Path | None = None) -> None:
        self._array = array
        self.entry = entry
        self._path = path
        self._name = "" if path is None else os.fspath(path)
        self.mapped: tuple[int, int] | None = None
        self._seen: FileStamp | None = None if entry is not None else _FIXED  # stamp of the file at the last comparison

    @classmethod
    def open(
        cls,
        folder: Path,
        entry: FileEntry,
        dtype: str = "u1",
        columns: int | None = None,
        *,
        folder_fd: int | None = None,
        mapped_bytes: int = DEFAULT.mapped_bytes,
    ) -> CheckedArray:
        """Map a file, or read it if it is small; its checksum is compared on first use.

        Args:
            folder: Folder of the file.
            entry: Its name, size and checksum.
            dtype: Of the array.
            columns: Length of a row; None for an array of one dimension.
            folder_fd: Descriptor of the folder, for a caller that reads several files of one moment.
            mapped_bytes: Maximum size in bytes of a file that is read; larger ones are mapped.

        Raises:
            FileNotFoundError: If the file does not exist.
            ArtefactError: If it has another size than it was written with.
            OSError: If it cannot be read.
        """
        path = folder / entry.name
        descriptor = open_regular(path if folder_fd is None else entry.name, folder=folder_fd)
        try:
            found = os.fstat(descriptor)
            _require_length(path, entry, found.st_size)
            small = entry.bytes <= mapped_bytes
            raw = _read(descriptor, path, entry) if small else _native.map_file(descriptor, entry.bytes)
        finally:
            os.close(descriptor)  # a map needs no descriptor, so thousands of segments stay below the limit
        flat = raw.view(np.dtype(dtype))
        stored = cls(flat if columns is None else flat.reshape(-1, columns), entry, path)
        stored.mapped = None if small else (found.st_dev, found.st_ino)
        return stored

    @property
    def array(self) -> NDArray[Any]:
        """The array; its checksum is verified on first use.

        Raises:
            ArtefactError: If the file differs from its checksum.
        """
        if self._seen is None:
            self.check()
        return self._array

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the array."""
        return self._array.dtype

    @property
    def checked(self) -> bool:
        """Whether the checksum was verified, and the file has not been touched since."""
        return self._seen is not None and self._seen == self._look()

    @property
    def touched(self) -> bool:
        """Whether the checksum was verified, and the file was touched since."""
        return self._seen is not None and self._seen != self._look()

    def check(self) -> None:
        """Verify the checksum on first use, and again after the file was touched.

        Raises:
            ArtefactError: If the file differs from its checksum.
        """
        look = self._look()
        if self._seen == look or self.entry is None or self._path is None:
            return
        self._seen = None
        if look[0] not in (_FIXED[0], _GONE):
            _require_length(self._path, self.entry, look[0])
        if checksum(self._array) != self.entry.checksum:
            raise ArtefactError(
                f"{self.entry.name} in {self._path.parent} differs from its checksum; "
                "restore it from a backup or rebuild the index, then open it again"
            )
        self._seen = look

    def _look(self) -> FileStamp:
        if self.mapped is None:
            return _FIXED
        lost = _native.lost_pages()
        try:
            now = os.stat(self._name)
        except OSError:
            return _GONE, 0, lost
        same = (now.st_dev, now.st_ino) == self.mapped
        return (now.st_size, now.st_ctime_ns, lost) if same else (_GONE, 0, lost)


@contextmanager
def detect_truncation() -> Iterator[None]:
    """Raise after the block if a mapped file was cut short meanwhile, because its lost pages were read as zeros.

    Raises:
        ArtefactError: If a mapped file was cut short.
    """
    before = _native.lost_pages()
    yield
    if _native.lost_pages() != before:
        raise ArtefactError(
            "another program shortened a file of an index while it was read; restore it from a backup, and open the "
            "index again"
        )


def _read(descriptor: int, path: Path, entry: FileEntry) -> NDArray[np.uint8]:
    raw = aligned(entry.bytes, (), np.dtype(np.uint8))
    read = os.preadv(descriptor, [raw.data], 0)
    _require_length(path, entry, read)
    raw.flags.writeable = False
    return raw


def _require_length(path: Path, entry: FileEntry, size: int) -> None:
    if size != entry.bytes:
        raise ArtefactError(
            f"{path} is {size} bytes long instead of {entry.bytes}; restore it from a backup or rebuild the index"
        )


def checksum(array: NDArray[Any]) -> str:
    """Return XXH3 (128 bits) of the bytes of an array, in hex."""
    return xxhash.xxh3_128(raw_bytes(array)).hexdigest()


def raw_bytes(array: NDArray[Any]) -> memoryview:
    """Return a view of the bytes of a C-contiguous array."""
    return memoryview(array.reshape(-1).view(np.uint8).data)


def aligned(rows: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Make an array ``(rows, *shape)`` that begins at a cache line, as mapped arrays do."""
    size = rows * int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(size + _CACHE_LINE, dtype=np.uint8)
    start = -raw.ctypes.data % _CACHE_LINE
    return raw[start : start + size].view(dtype).reshape(rows, *shape)
