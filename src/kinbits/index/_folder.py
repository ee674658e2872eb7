"""An index in a folder: immutable files, and a manifest that is swapped in one atomic step.

A change writes new files, syncs them, and only then replaces the manifest. Killed at any instant, the old
manifest still names a complete set of old files; what the killed writer left behind is removed by the next.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits._errors import ArtefactError, EnvironmentFault, UsageError
from kinbits.index import _manifest
from kinbits.index._manifest import FileEntry, Manifest, SegmentEntry
from kinbits.index._segment import Segment
from kinbits.index._state import State
from kinbits.index._table import Table

_LOCK = "lock"
_OURS = re.compile(r"\d{6,}\.(codes|ids|rows|dead\.\d+)|manifest\.json\.new")
_READ_BYTES = 1 << 22


class Folder:
    """Reads and writes states of one index."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[int, SegmentEntry] = {}  # of the manifest that was last read or written

    def exists(self) -> bool:
        """Whether an index lies here."""
        return (self.path / _manifest.NAME).is_file()

    def create(self) -> None:
        """Make the folder, which must be new or hold nothing of anybody else.

        Raises:
            UsageError: if it is a file, or holds other files.
            EnvironmentFault: if it cannot be made.
        """
        if self.path.is_file():
            raise UsageError(f"{self.path} is a file; an index is a folder, choose another name")
        with _faults(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            foreign = [p.name for p in self.path.iterdir() if p.name != _LOCK and not _OURS.fullmatch(p.name)]
        if foreign:
            raise UsageError(f"{self.path} holds other files, e.g. {sorted(foreign)[0]}; choose a new folder")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer; the system frees the lock even if this process is killed.

        Raises:
            EnvironmentFault: if another process or object is writing, or the folder is read-only.
        """
        with _faults(self.path):
            lock = open(self.path / _LOCK, "wb")  # noqa: SIM115 - only this line may be the system's fault
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise EnvironmentFault(
                    f"another writer is changing {self.path}; wait until it has finished, then try again"
                ) from None
            yield

    def generation(self) -> int:
        """Return the generation that is on disk."""
        return self._manifest().generation

    def read(self) -> State:
        """Open the state on disk; codes and ids are mapped, not loaded.

        Raises:
            ArtefactError: if something is missing, damaged, or of a newer format.
        """
        manifest = self._manifest()
        while True:
            try:
                with _faults(self.path, "read"):
                    segments = tuple(self._open(entry) for entry in manifest.segments)
                break
            except FileNotFoundError as error:  # a writer may have moved on since the manifest was read
                newer = self._manifest()
                if newer.generation == manifest.generation:
                    raise ArtefactError(f"{error.filename} is missing; restore it from a backup") from None
                manifest = newer
        self._entries = {entry.number: entry for entry in manifest.segments}
        fields = {name: getattr(manifest, name) for name in State.__dataclass_fields__ if name != "segments"}
        return State(**fields, segments=segments)

    def write(self, state: State) -> None:
        """Make ``state`` the contents of the folder; call inside `writing`.

        Raises:
            EnvironmentFault: if the disk is full or the folder cannot be written; the old contents stay.
        """
        with _faults(self.path):
            entries = tuple(self._save(segment) for segment in state.segments)
            fields = {name: getattr(state, name) for name in State.__dataclass_fields__ if name != "segments"}
            manifest = Manifest(**fields, segments=entries)
            self._write(f"{_manifest.NAME}.new", manifest.to_json())
            _sync_folder(self.path)  # the new files before the manifest that names them
            os.replace(self.path / f"{_manifest.NAME}.new", self.path / _manifest.NAME)
            _sync_folder(self.path)
        self._entries = {entry.number: entry for entry in entries}
        self._sweep({entry.name for entry in manifest.files()})

    def check(self) -> None:
        """Compare every file with its checksum.

        Raises:
            ArtefactError: naming all files that differ.
        """
        damaged = [entry.name for entry in self._manifest().files() if self._digest(entry.name) != entry.sha256]
        if damaged:
            raise ArtefactError(
                f"{self.path}: {', '.join(damaged)} differ from their checksums; "
                "restore them from a backup or rebuild the index"
            )

    def _manifest(self) -> Manifest:
        path = self.path / _manifest.NAME
        try:
            return Manifest.from_json(path.read_bytes(), str(path))
        except (FileNotFoundError, NotADirectoryError):
            raise ArtefactError(f"there is no index at {self.path}; make one with Index.create") from None
        except OSError as error:
            raise EnvironmentFault(f"{path} cannot be read: {error.strerror}") from None

    def _open(self, entry: SegmentEntry) -> Segment:
        for file in entry.files.values():
            size = (self.path / file.name).stat().st_size
            if size != file.bytes:
                raise ArtefactError(
                    f"{self.path / file.name} is {size} bytes long instead of {file.bytes}; "
                    "restore it from a backup or rebuild the index"
                )
        dead = entry.files.get("dead")
        return Segment(
            number=entry.number,
            codes=self._map(entry.files["codes"], "u1").reshape(entry.rows, -1),
            ids=self._map(entry.files["ids"], entry.id_dtype),
            table=Table.open(self.path / entry.files["rows"].name),
            dead=np.array(self._map(dead, "<i8")) if dead else np.zeros(0, np.int64),
        )

    def _map(self, file: FileEntry, dtype: str) -> NDArray[Any]:
        # a plain view: np.memmap's own class costs time in every slice
        return np.asarray(np.memmap(self.path / file.name, np.dtype(dtype), mode="r"))

    def _save(self, segment: Segment) -> SegmentEntry:
        """Write those files of a segment that are not on disk yet."""
        known = self._entries.get(segment.number)
        files = dict(known.files) if known else self._save_items(segment)
        name = f"{segment.number:06}.dead.{len(segment.dead)}"  # the dead only ever grow
        if segment.dead.size and ("dead" not in files or files["dead"].name != name):
            files["dead"] = self._write(name, segment.dead.astype("<i8").tobytes())
        return SegmentEntry(segment.number, len(segment.ids), segment.ids.dtype.str, files)

    def _save_items(self, segment: Segment) -> dict[str, FileEntry]:
        stem = f"{segment.number:06}"
        return {
            "codes": self._write(f"{stem}.codes", np.ascontiguousarray(segment.codes).data),
            "ids": self._write(f"{stem}.ids", segment.ids.tobytes()),
            "rows": self._write(f"{stem}.rows", segment.table.serialize()),
        }

    def _write(self, name: str, data: bytes | memoryview) -> FileEntry:
        with open(self.path / name, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return FileEntry(name, memoryview(data).nbytes, hashlib.sha256(data).hexdigest())

    def _digest(self, name: str) -> str | None:
        digest = hashlib.sha256()
        try:
            with open(self.path / name, "rb") as file:
                while block := file.read(_READ_BYTES):
                    digest.update(block)
        except OSError:
            return None
        return digest.hexdigest()

    def _sweep(self, keep: set[str]) -> None:
        for path in self.path.iterdir():
            if _OURS.fullmatch(path.name) and path.name not in keep:
                with suppress(OSError):  # an orphan wastes space, no more; readers may still map it
                    path.unlink()


def save_copy(path: Path, state: State) -> None:
    """Write a state into a new folder.

    Raises:
        UsageError: if an index or other files lie there.
        EnvironmentFault: if the folder cannot be written.
    """
    folder = Folder(path)
    if folder.exists():
        raise UsageError(f"an index lies at {path} already; choose a new folder")
    folder.create()
    with folder.writing():
        folder.write(state)


def require_width(state: State) -> None:
    """Check that mapped codes are as wide as their length in bits says."""
    for segment in state.segments:
        if segment.codes.shape[1] != hamming.code_width(state.bits):
            raise ArtefactError(f"segment {segment.number} does not hold {state.bits}-bit codes; rebuild the index")


@contextmanager
def _faults(path: Path, action: str = "written") -> Iterator[None]:
    """Turn the system's refusals into one message; what is missing to a reader is the caller's to judge."""
    try:
        yield
    except OSError as error:
        if isinstance(error, EnvironmentFault) or (action == "read" and isinstance(error, FileNotFoundError)):
            raise
        raise EnvironmentFault(
            f"{path} cannot be {action}: {error.strerror or error}; check permissions and free space"
        ) from None


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
