"""Cache of features on disk: computed once, then memory-mapped by later runs.

An entry is a folder named by the hash of its key. ``features.f16`` holds the raw float16 rows. ``chunks.log`` has one
line per finished chunk, with the checksum of its rows. The rows of a chunk are on disk before its line is written.
Opening an entry checks every line and every chunk. So a killed process loses only its current chunk, and wrong rows
are never returned.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import stat
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kinbits.data.optional_readers import now_readable
from kinbits.errors import PlatformError, UsageError

Compute = Callable[[int, int], tuple[np.ndarray, np.ndarray, Sequence[str]]]
Progress = Callable[[int, int], None]

_FORMAT = 1
_KEY = "key.json"
_FILES = r"chunks\.log|features\.f16|key\.json|lock"


def cache_folder(name: str) -> Path:
    """Return the folder for one kind of cached files, in ``$KINBITS_CACHE`` or else in ``~/.cache/kinbits``.

    Args:
        name: ``"features"``, or ``"arrow"`` for the working copies of tables.

    Raises:
        PlatformError: If it lies in the home folder of an unknown user.
    """
    folder = Path(os.environ.get("KINBITS_CACHE") or "~/.cache/kinbits")
    try:
        return folder.expanduser() / name
    except RuntimeError:
        raise PlatformError(
            f"the cache {folder} is in an unknown home folder; set KINBITS_CACHE to a folder that can be written"
        ) from None


def files_of(folder: Path, name: str, files: str) -> list[Path] | None:
    """Return the files of a folder, sorted; or None if it is a link or holds anything else.

    Args:
        folder: The folder.
        name: Regular expression that its name must match.
        files: Regular expression that the name of every file in it must match.
    """
    if not re.fullmatch(name, folder.name) or folder.is_symlink() or not folder.is_dir():
        return None
    found = sorted(folder.iterdir())
    own = all(re.fullmatch(files, file.name) and stat.S_ISREG(file.lstat().st_mode) for file in found)
    return found if own else None


def remove_files(folder: Path, files: Sequence[Path]) -> None:
    """Remove files, then their folders up to ``folder``; a folder that holds anything else raises an `OSError`."""
    for file in files:
        file.unlink(missing_ok=True)
    for inner in folder.iterdir():
        inner.rmdir()
    folder.rmdir()


def feature_files(folder: Path) -> list[Path] | None:
    """Return the files of an entry of a :class:`FeatureCache`, the lock last; None if the folder is no entry."""
    files = files_of(folder, "[0-9a-f]{40}", _FILES)
    key = folder / _KEY
    unfilled = files == [folder / "lock"]  # the process was killed before it wrote the key
    known = files is not None and (unfilled or (key in files and _entry_name(key.read_bytes()) == folder.name))
    return files if known else None


def _entry_name(identity: bytes) -> str:
    return hashlib.sha256(identity).hexdigest()[:40]


class FeatureCache:
    """A folder of cached feature arrays.

    Args:
        root: The folder; None uses ``features`` in ``$KINBITS_CACHE``, or else in ``~/.cache/kinbits``.
        chunk: Number of rows that are computed and written together.

    Example:
        >>> import tempfile
        >>> cached = FeatureCache(tempfile.mkdtemp()).open({"data": "d1", "model": "m1"}, n=3, dim=2)
        >>> cached.fill(lambda start, stop: (np.ones((stop - start, 2)), np.ones(stop - start, bool), []))
        >>> cached.complete, cached.array.sum()
        (True, np.float16(6.0))
    """

    def __init__(self, root: str | os.PathLike[str] | None = None, *, chunk: int = 1024) -> None:
        if chunk < 1:
            raise UsageError(f"a cache chunk of {chunk} rows is impossible; use 1 or more")
        self.root = Path(root).expanduser() if root else cache_folder("features")
        self.chunk = chunk

    def open(self, key: Mapping[str, str | int], n: int, dim: int) -> CachedFeatures:
        """Return the entry of a key; a new entry is empty, and nothing is written before ``fill``.

        Args:
            key: Fingerprints of data and backbone, preprocessing, and view.
            n: Number of rows.
            dim: Width of a row.

        Raises:
            PlatformError: If the entry exists but cannot be read.
        """
        identity = {"format": _FORMAT, "n": n, "dim": dim, "chunk": self.chunk, "key": dict(key)}
        text = json.dumps(identity, sort_keys=True)
        folder = self.root / _entry_name(text.encode())
        return CachedFeatures(folder, text, n, dim, self.chunk)


class CachedFeatures:
    """One entry of a :class:`FeatureCache`.

    Attributes:
        array: Read-only float16 ``(n, dim)``; rows that are not valid have undefined values.
        valid: bool ``(n,)``; True if the row is computed and its item could be read.
        reasons: Row -> reason why its item could not be read.
    """

    def __init__(self, folder: Path, identity: str, n: int, dim: int, chunk: int) -> None:
        self.folder, self.n, self.dim, self.chunk = folder, n, dim, chunk
        self._identity = identity
        self._read()

    @property
    def complete(self) -> bool:
        """Whether every chunk is computed."""
        return bool(self._done.all())

    def fill(self, compute: Compute, progress: Progress | None = None) -> None:
        """Compute the missing chunks; if another process is computing them, wait for it.

        Args:
            compute: Function of ``(start, stop)``. It returns float rows ``(stop - start, dim)``, a mask of the
                readable rows, bool ``(stop - start,)``, and one reason per unreadable row, in order.
            progress: Function that is called with (rows done, n) at the start and after each chunk.

        Raises:
            PlatformError: If the folder cannot be written, or the disk is full.
        """
        if not self.complete:
            with self._locked():
                with _explained(self.folder):
                    self._read(warn=False)  # another process may have filled it while we waited
                    self._prepare()
                self._fill_missing(compute, progress)
            self._map()
        if progress:
            progress(self.n, self.n)

    def _fill_missing(self, compute: Compute, progress: Progress | None) -> None:
        for number in np.flatnonzero(~self._done):
            if progress:
                progress(min(self.n, int(self._done.sum()) * self.chunk), self.n)
            start, stop = self._span(int(number))
            rows, valid, reasons = compute(start, stop)
            bad = dict(zip(np.flatnonzero(~np.asarray(valid)).tolist(), reasons, strict=True))
            with _explained(self.folder):
                self._write(int(number), np.ascontiguousarray(rows, np.float16), bad)
            self._accept(int(number), bad)

    def _write(self, number: int, rows: np.ndarray, bad: Mapping[int, str]) -> None:
        start, stop = self._span(number)
        if rows.shape != (stop - start, self.dim):
            raise UsageError(f"compute({start}, {stop}) gave shape {rows.shape}, not {(stop - start, self.dim)}")
        # pwrite instead of the memory map: a full disk then raises an error here, not a bus error later
        handle = os.open(self._features, os.O_WRONLY)
        try:
            _write_all(handle, rows.tobytes(), start * self.dim * 2)
            os.fsync(handle)
        finally:
            os.close(handle)
        record = json.dumps(
            {
                "chunk": number,
                "crc": zlib.crc32(rows.tobytes()),
                "bad": {str(r): why for r, why in bad.items()},
            }
        )
        _append(self._log, f"{record}\t{zlib.crc32(record.encode()):08x}\n")

    def _accept(self, number: int, bad: Mapping[int, str]) -> None:
        start, stop = self._span(number)
        self._done[number] = True
        self.valid[start:stop] = True
        for row, reason in bad.items():
            self.valid[start + row] = False
            self.reasons[start + row] = reason

    def _span(self, number: int) -> tuple[int, int]:
        return number * self.chunk, min(self.n, (number + 1) * self.chunk)

    @property
    def _features(self) -> Path:
        return self.folder / "features.f16"

    @property
    def _log(self) -> Path:
        return self.folder / "chunks.log"

    def _read(self, *, warn: bool = True) -> None:
        """Read the chunks of the folder whose checksums agree."""
        self._done = np.zeros(-(-self.n // self.chunk), bool)
        self.valid = np.zeros(self.n, bool)
        self.reasons: dict[int, str] = {}
        with _explained(self.folder):
            records = _records(self._log)
            damaged = [number for number, record in records.items() if not self._intact(number, record)]
        for number, record in records.items():
            if number not in damaged and not any(map(now_readable, record["bad"].values())):
                self._accept(number, {int(row): why for row, why in record["bad"].items()})
        if damaged and warn:
            warnings.warn(
                f"{len(damaged)} of {len(records)} cached feature chunks in {self.folder} are damaged; "
                "they will be computed again",
                stacklevel=4,
            )
        self._map()

    def _intact(self, number: int, record: Mapping[str, Any]) -> bool:
        start, stop = self._span(number)
        if not 0 <= number < len(self._done):
            return False
        try:
            with self._features.open("rb") as file:
                file.seek(start * self.dim * 2)
                rows = file.read((stop - start) * self.dim * 2)
        except FileNotFoundError:
            return False
        return len(rows) == (stop - start) * self.dim * 2 and zlib.crc32(rows) == record["crc"]

    def _map(self) -> None:
        size = self.n * self.dim * 2
        if size and self._features.exists() and self._features.stat().st_size == size:
            self.array: np.ndarray = np.memmap(self._features, np.float16, "r", shape=(self.n, self.dim))
        else:
            self.array = np.broadcast_to(np.float16(0), (self.n, self.dim))

    def _prepare(self) -> None:
        """Create the files at full size; a truncated file is extended with zeros."""
        (self.folder / _KEY).write_bytes(self._identity.encode())
        with self._features.open("ab") as file:
            file.truncate(self.n * self.dim * 2)
        self._log.touch()
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(handle)  # the new directory entries must also be on disk
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the entry for writing; the kernel releases the lock if the process dies."""
        with contextlib.ExitStack() as stack:
            with _explained(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context((self.folder / "lock").open("w"))
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _records(log: Path) -> dict[int, dict[str, Any]]:
    """Return the records of the lines whose checksum agrees; an incomplete last line is skipped."""
    if not log.exists():
        return {}
    records = {}
    for line in log.read_bytes().splitlines():
        text, _, crc = line.rpartition(b"\t")
        if crc == f"{zlib.crc32(text):08x}".encode():
            record = json.loads(text)
            records[int(record["chunk"])] = record
    return records


def _append(path: Path, line: str) -> None:
    handle = os.open(path, os.O_RDWR | os.O_APPEND)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        os.write(handle, (("\n" if torn else "") + line).encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_all(handle: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PlatformError(
            f"the feature cache {folder.parent} cannot be used ({error.strerror or error}); "
            "set KINBITS_CACHE to a writable folder on a disk with free space"
        ) from error
