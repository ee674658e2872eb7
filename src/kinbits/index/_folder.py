"""An index in a folder: immutable files, and a manifest that is swapped in one atomic step.

A change writes new files, syncs them, and only then replaces the manifest. Killed at any instant, the old
manifest still names a complete set of old files; what the killed writer left behind is removed by the next.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from kinbits._errors import ArtefactError, PlatformError, UsageError
from kinbits.hamming import MultiIndex
from kinbits.index import _manifest
from kinbits.index._ids import Id, readable
from kinbits.index._manifest import Manifest, SegmentEntry, file_name
from kinbits.index._merge import Merge, Run
from kinbits.index._segment import Segment
from kinbits.index._state import State
from kinbits.index._stored import FileEntry, Stored, raw_bytes
from kinbits.index._table import Table
from kinbits.index._tables import Tables, TablesEntry, arranged

_LOCK = "lock"
_OURS = re.compile(r"\d{6,}\.(codes|ids|rows|(alive|tables)\.\d+)|manifest\.json\.new")
_READ_BYTES = 1 << 20


class Folder:
    """Reads and writes states of one index."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether an index lies here."""
        return (self.path / _manifest.NAME).is_file()

    def create(self) -> None:
        """Make the folder, which must be new or hold nothing of anybody else.

        Raises:
            UsageError: if it is a file, or holds other files.
            PlatformError: if it cannot be made.
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

        What a failed change has written is removed, so that a full disk is no fuller than before.

        Raises:
            PlatformError: if another process or object is writing, or the folder is read-only.
        """
        with _faults(self.path):
            lock = open(self.path / _LOCK, "wb")  # noqa: SIM115 - only this line may be the system's fault
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PlatformError(
                    f"another writer is changing {self.path}; wait until it has finished, then try again"
                ) from None
            try:
                yield
            except BaseException:
                with suppress(ArtefactError, PlatformError):
                    self._sweep(self._manifest())
                raise

    def generation(self) -> int:
        """Return the generation that is on disk."""
        return self._manifest().generation

    def read(self, known: State | None = None) -> State:
        """Open the state on disk; files are mapped, not read.

        Args:
            known: An earlier state, whose maps are used again for files that are still the same.

        Raises:
            ArtefactError: if something is missing, damaged, or of another version.
        """
        manifest = self._manifest()
        earlier = {segment.number: segment for segment in known.segments} if known is not None else {}
        while True:
            try:
                with _faults(self.path, "read"):
                    segments = tuple(self._open(entry, earlier.get(entry.number)) for entry in manifest.segments)
                newer = manifest if all(_has_its_tables(segment) for segment in segments) else self._manifest()
                if newer.generation == manifest.generation:
                    break
            except FileNotFoundError as error:  # a writer may have moved on since the manifest was read
                newer = self._manifest()
                if newer.generation == manifest.generation:
                    raise ArtefactError(f"{error.filename} is missing; restore it from a backup") from None
            manifest = newer
        return State(**_common(manifest), segments=segments)

    def build(self, number: int, runs: Sequence[Run]) -> Segment:
        """Join runs into a new segment's files, synced; call inside `writing`.

        Raises:
            PlatformError: if the disk is full or the folder cannot be written.
        """
        merge, bounds = Merge(runs), []
        with _faults(self.path), self._file(number, "codes") as codes, self._file(number, "ids") as ids:
            for block_ids, block_codes in merge.blocks():
                bounds += [_readable(block_ids[0].item()), _readable(block_ids[-1].item())]
                ids.append(block_ids)
                codes.append(block_codes)
        files = {"codes": codes.entry, "ids": ids.entry}
        if merge.columns:
            name = file_name(number, "rows", 0)
            Table.write(self.path / name, len(merge.columns), merge.values())
            files["rows"] = self._synced(name)
        columns, id_dtype = tuple(merge.columns), merge.id_dtype.str
        return self._open(SegmentEntry(number, len(merge), 0, id_dtype, bounds[0], bounds[-1], columns, files))

    def build_tables(self, segment: Segment, generation: int) -> Tables:
        """Write the search tables of a segment, synced; call inside `writing`.

        Raises:
            PlatformError: if the disk is full or the folder cannot be written.
        """
        arrays = MultiIndex.build(segment.codes).arrays()
        entries = arranged(arrays)
        with _faults(self.path), self._file(segment.number, "tables", generation) as file:
            for name, array in arrays.items():
                file.append(np.zeros(entries[name].start - file.bytes, np.uint8))
                file.append(array)
        return Tables.map(self.path, TablesEntry(file.entry, entries))

    def commit(self, state: State) -> State:
        """Make ``state``, whose new segments were built here, the contents of the folder; call inside `writing`.

        Returns:
            The state with all that was still in memory mapped from its file.

        Raises:
            PlatformError: if the disk is full or the folder cannot be written; the old contents stay.
        """
        with _faults(self.path):
            state = replace(state, segments=tuple(map(self._with_deletions, state.segments)))
            manifest = Manifest(**_common(state), segments=tuple(map(_entry, state.segments)))
            with _Writer(self.path / f"{_manifest.NAME}.new") as file:
                file.append(np.frombuffer(manifest.to_json(), np.uint8))
            _sync_folder(self.path)  # the new files before the manifest that names them
            os.replace(self.path / f"{_manifest.NAME}.new", self.path / _manifest.NAME)
            _sync_folder(self.path)
        self._sweep(manifest)
        return state

    def check(self) -> None:
        """Compare every file with its checksum.

        Raises:
            ArtefactError: naming all files that differ.
        """
        manifest = self._manifest()
        damaged = [entry.name for entry in manifest.files() if self._checksum(entry.name) != entry.checksum]
        if damaged:
            derived = manifest.derived().issuperset(damaged)
            remedy = "build them anew with optimize()" if derived else "restore them from a backup or rebuild the index"
            raise ArtefactError(f"{self.path}: {', '.join(damaged)} differ from their checksums; {remedy}")

    def _manifest(self) -> Manifest:
        path = self.path / _manifest.NAME
        try:
            return Manifest.from_json(path.read_bytes(), str(path))
        except (FileNotFoundError, NotADirectoryError):
            raise ArtefactError(f"there is no index at {self.path}; make one with Index.create") from None
        except OSError as error:
            raise PlatformError(f"{path} cannot be read: {error.strerror}") from None

    def _open(self, entry: SegmentEntry, earlier: Segment | None = None) -> Segment:
        """Map a segment; parts of an earlier one that are the same files are used again, with what is known of them."""
        same = earlier.files() if earlier is not None else {}

        def part(role: str, dtype: str = "u1", columns: int | None = None) -> Stored:
            old = same.get(role)
            file = entry.files[role]
            return old if old is not None and old.entry == file else Stored.map(self.path, file, dtype, columns)

        table = earlier.table if earlier is not None else None
        if "rows" in entry.files and (table is None or part("rows") is not table.file):
            table = Table.open(self.path / entry.files["rows"].name, entry.columns, part("rows"))
        return Segment(
            number=entry.number,
            rows=entry.rows,
            dead=entry.dead,
            bounds=(_stored_id(entry.first), _stored_id(entry.last)),
            stored_codes=part("codes", columns=entry.files["codes"].bytes // entry.rows),
            stored_ids=part("ids", entry.id_dtype),
            stored_alive=part("alive") if "alive" in entry.files else None,
            table=table,
            tables=self._open_tables(entry, earlier),
        )

    def _open_tables(self, entry: SegmentEntry, earlier: Segment | None) -> Tables | None:
        if entry.tables is None:
            return None
        known = earlier.tables if earlier is not None else None
        same = known is not None and known.entry == entry.tables and not known.missing
        return known if same else Tables.map(self.path, entry.tables)

    def _with_deletions(self, segment: Segment) -> Segment:
        """Write the bitmap of a segment that has lost items."""
        alive = segment.stored_alive
        if alive is None or alive.entry is not None:
            return segment
        with self._file(segment.number, "alive", segment.dead) as file:
            file.append(alive.array)
        return replace(segment, stored_alive=Stored.map(self.path, file.entry))

    def _file(self, number: int, role: str, version: int = 0) -> _Writer:
        return _Writer(self.path / file_name(number, role, version))

    def _synced(self, name: str) -> FileEntry:
        """Sync a file that another library has written, and describe it."""
        with _faults(self.path), open(self.path / name, "rb") as file:
            os.fsync(file.fileno())
            return FileEntry(name, os.fstat(file.fileno()).st_size, str(self._checksum(name)))

    def _checksum(self, name: str) -> str | None:
        digest, block = xxhash.xxh3_128(), memoryview(bytearray(_READ_BYTES))
        try:
            with open(self.path / name, "rb", buffering=0) as file:
                while read := file.readinto(block):
                    digest.update(block[:read])
        except OSError:
            return None
        return digest.hexdigest()

    def _sweep(self, manifest: Manifest) -> None:
        keep = {entry.name for entry in manifest.files()}
        for path in self.path.iterdir():
            if _OURS.fullmatch(path.name) and path.name not in keep:
                with suppress(OSError):  # an orphan wastes space, no more; readers may still map it
                    path.unlink()


class _Writer:
    """Writes a file block by block; when it is left, the file is synced and described by ``entry``.

    Attributes:
        bytes: Written so far.
        entry: What was written.
    """

    entry: FileEntry

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = xxhash.xxh3_128()
        self.bytes = 0

    def __enter__(self) -> _Writer:
        self._file = open(self._path, "wb", buffering=0)
        return self

    def append(self, block: NDArray[Any]) -> None:
        """Write an array's bytes."""
        raw = raw_bytes(np.ascontiguousarray(block))
        self._digest.update(raw)
        self.bytes += len(raw)
        while len(raw):
            raw = raw[self._file.write(raw) :]

    def __exit__(self, kind: Any, *_: object) -> None:
        with self._file:
            if kind is None:
                os.fsync(self._file.fileno())
        self.entry = FileEntry(self._path.name, self.bytes, self._digest.hexdigest())


def save_copy(path: Path, state: State) -> None:
    """Write a state into a new folder.

    Raises:
        UsageError: if an index or other files lie there.
        PlatformError: if the folder cannot be written.
    """
    folder = Folder(path)
    if folder.exists():
        raise UsageError(f"an index lies at {path} already; choose a new folder")
    folder.create()
    with folder.writing():
        folder.commit(replace(state, segments=tuple(folder.build(s.number, [s]) for s in state.segments)))


def _entry(segment: Segment) -> SegmentEntry:
    first, last = map(_readable, segment.bounds)
    return SegmentEntry(
        number=segment.number,
        rows=segment.rows,
        dead=segment.dead,
        id_dtype=segment.stored_ids.dtype.str,
        first=first,
        last=last,
        columns=tuple(segment.columns),
        files={role: part.entry for role, part in segment.files().items() if part.entry is not None},
        tables=segment.tables.entry if segment.tables is not None else None,
    )


def _has_its_tables(segment: Segment) -> bool:
    return segment.tables is None or not segment.tables.missing


def _common(source: State | Manifest) -> dict[str, Any]:
    return {name: getattr(source, name) for name in State.__dataclass_fields__ if name != "segments"}


def _readable(id_: Id) -> int | str:
    first: int | str = readable(np.array([id_])).tolist()[0]
    return first


def _stored_id(id_: int | str) -> Id:
    return id_.encode() if isinstance(id_, str) else id_


@contextmanager
def _faults(path: Path, action: str = "written") -> Iterator[None]:
    """Turn the system's refusals into one message; what is missing to a reader is the caller's to judge."""
    try:
        yield
    except OSError as error:
        if isinstance(error, PlatformError) or (action == "read" and isinstance(error, FileNotFoundError)):
            raise
        raise PlatformError(
            f"{path} cannot be {action}: {error.strerror or error}; check permissions and free space"
        ) from None


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
