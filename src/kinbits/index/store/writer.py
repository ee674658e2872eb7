"""Writing new files of an index, synced, with their checksums."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from kinbits._util import open_regular
from kinbits.index.store.checked_array import FileEntry, raw_bytes

_READ_BYTES = 1 << 20


class Writer:
    """Writes a file block by block; at the end, the file is synced and described by ``entry``.

    Attributes:
        name: Name of the file.
        bytes: Number of bytes written so far.
        entry: Description of the file, at the end.
    """

    entry: FileEntry

    def __init__(self, name: str, folder: int) -> None:
        """Write a file in a folder, given by its descriptor, which stays the same if the folder is moved."""
        self.name, self._folder = name, folder
        self._digest = xxhash.xxh3_128()
        self.bytes = 0

    def __enter__(self) -> Writer:
        with suppress(FileNotFoundError):
            os.unlink(self.name, dir_fd=self._folder)  # left by a killed writer, or a link
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = open(os.open(self.name, flags, 0o666, dir_fd=self._folder), "wb", buffering=0)
        return self

    def append(self, block: NDArray[Any]) -> None:
        """Append the bytes of an array."""
        raw = raw_bytes(np.ascontiguousarray(block))
        self._digest.update(raw)
        self.bytes += len(raw)
        while len(raw):
            raw = raw[self._file.write(raw) :]

    def __exit__(self, kind: Any, *_: object) -> None:
        with self._file:
            if kind is None:
                os.fsync(self._file.fileno())
        self.entry = FileEntry(self.name, self.bytes, self._digest.hexdigest())


def file_checksum(path: Path | str, folder: int | None = None) -> str:
    """Return XXH3 (128 bits) of a file, in hex; ``folder`` is the descriptor that a relative path starts from.

    Raises:
        OSError: If the file cannot be read.
    """
    digest, block = xxhash.xxh3_128(), memoryview(bytearray(_READ_BYTES))
    with open(open_regular(path, folder=folder), "rb", buffering=0) as file:
        while read := file.readinto(block):
            digest.update(block[:read])
    return digest.hexdigest()
