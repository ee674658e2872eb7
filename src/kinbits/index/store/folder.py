"""An index in a folder: immutable files, and a manifest that is replaced in one atomic step.

A change writes new files, syncs them, and only then replaces the manifest. If the writer is killed, the old manifest
still names a complete set of old files. The next change removes the files that are left over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from kinbits._util import full_path, read_regular, settle, sync_file, sync_folder
from kinbits.errors import ArtefactError, PlatformError, UsageError, platform_error
from kinbits.hamming import MultiIndex
from kinbits.index.store import manifest as manifest_module
from kinbits.index.store.checked_array import CheckedArray, FileEntry, detect_truncation
from kinbits.index.store.ids import readable_id, stored_id
from kinbits.index.store.links import Links
from kinbits.index.store.lock import locked
from kinbits.index.store.manifest import Manifest, SegmentEntry, file_name
from kinbits.index.store.merge import Merge, SortedRun
from kinbits.index.store.metadata import MetadataTable
from kinbits.index.store.options import DEFAULT, IndexOptions
from kinbits.index.store.search_tables import SearchTables, TablesEntry, arranged
from kinbits.index.store.segment import Segment
from kinbits.index.store.state import State
from kinbits.index.store.writer import Writer, file_checksum

_LOCK = "lock"
# Of a state and its manifest.
_COMMON = ("bits", "words", "keep", "concepts", "fingerprint", "id_kind", "next_id", "next_segment", "generation")
_NEW = f"{manifest_module.NAME}.new"
_OURS = re.compile(rf"\d{{6,}}\.(codes|ids|rows|vectors|concepts|(alive|tables)\.\d+)|{re.escape(_NEW)}")


class Folder:
    """Reads and writes states of one index.

    Attributes:
        path: Absolute path, independent of later `os.chdir`.
        wait: Seconds that a change waits for another writer.
        options: Sizes of segments and blocks.
        stamp: Digest of the manifest last read or written, hex.
    """

    def __init__(self, path: str | os.PathLike[str], wait: float = 0.0, options: IndexOptions = DEFAULT) -> None:
        self.path, self.wait, self.options = full_path(path), wait, options
        self.stamp = ""
        self._links = Links(self.path)
        self._folder_fd = -1  # of the folder while it is written

    def exists(self) -> bool:
        """Whether the folder holds an index."""
        with platform_errors(self.path, "read"):
            return (self.path / manifest_module.NAME).is_file()

    def create(self) -> None:
        """Create the folder, which must be new or hold no other files.

        Raises:
            UsageError: If it is a file, or holds other files.
            PlatformError: If it cannot be created.
        """
        with platform_errors(self.path):
            if self.path.is_file():
                raise UsageError(f"{self.path} is a file, and an index is a folder; choose another name")
            self.path.mkdir(parents=True, exist_ok=True)
            ours = (_LOCK, manifest_module.NAME)
            foreign = [p.name for p in self.path.iterdir() if p.name not in ours and not _OURS.fullmatch(p.name)]
        if foreign:
            raise UsageError(f"{self.path} holds other files, e.g. {sorted(foreign)[0]}; choose a new folder")

    @contextmanager
    def writing(self, least_wait: float = 0.0) -> Iterator[None]:
        """Hold the lock of the only writer; the system frees it even if this process is killed.

        Files of a failed change are removed, so that a full disk does not stay full.

        Args:
            least_wait: Minimum number of seconds to wait for another writer.

        Raises:
            PlatformError: If another process or object is writing, or the folder is read-only.
        """
        with platform_errors(self.path):
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with platform_errors(self.path), locked(_LOCK, folder, max(self.wait, least_wait)):
                self._folder_fd = folder
                try:
                    yield
                except BaseException:
                    with suppress(ArtefactError, OSError):
                        self._sweep(self._parsed(read_regular(manifest_module.NAME, folder)))
                    raise
        finally:
            self._folder_fd = -1
            os.close(folder)

    def changed(self) -> bool:
        """Whether the manifest differs from the one last read or written.

        Contents are compared, not generations, because another index may have been moved to this place.

        Raises:
            ArtefactError: If there is no manifest.
            PlatformError: If the manifest cannot be read.
        """
        with self._opened() as folder_fd:
            return xxhash.xxh3_128_hexdigest(self._raw_manifest(folder_fd)) != self.stamp

    def forget(self) -> None:
        """Make `changed` return True."""
        self.stamp = ""

    def read(self, known: State | None = None) -> State:
        """Open the state on disk; large files are mapped, not read.

        Args:
            known: An earlier state, whose unchanged files are reused.

        Raises:
            ArtefactError: If a file is missing, damaged, or of another version.
        """
        with self._opened() as folder_fd:
            return self._read(folder_fd, known)

    def _read(self, folder_fd: int, known: State | None) -> State:
        raw = self._raw_manifest(folder_fd)
        earlier = {segment.number: segment for segment in known.segments} if known is not None else {}
        while True:
            manifest = self._parsed(raw)
            try:
                with platform_errors(self.path, "read"):
                    segments = tuple(
                        self._open(entry, folder_fd, earlier.get(entry.number)) for entry in manifest.segments
                    )
                newer = raw if all(map(_has_its_tables, segments)) else self._raw_manifest(folder_fd)
                if newer == raw:
                    break
            except FileNotFoundError as error:  # a writer may have replaced it since the manifest was read
                newer = self._raw_manifest(folder_fd)
                if newer == raw:
                    missing = self.path / str(error.filename)
                    raise ArtefactError(f"{missing} is missing; restore it from a backup") from None
            raw = newer
        self.stamp = xxhash.xxh3_128_hexdigest(raw)
        model = None if manifest.model is None else self._links.find(manifest.model, manifest.fingerprint)
        roots = tuple(map(self._links.find, manifest.image_roots))
        return State(**_common(manifest), segments=segments, model_folder=model, image_roots=roots)

    def build_segment(self, number: int, runs: Sequence[SortedRun]) -> Segment:
        """Join runs into the files of a new segment, synced; call inside `writing`.

        Raises:
            PlatformError: If the disk is full or the folder cannot be written.
        """
        merge, bounds = Merge(runs, self.options.block_rows), []
        with platform_errors(self.path), detect_truncation(), ExitStack() as opened:
            writers = {role: opened.enter_context(self._file(number, role)) for role in (*merge.roles, "ids")}
            for block_ids, block in merge.blocks(*merge.roles):
                bounds += [readable_id(block_ids[0].item()), readable_id(block_ids[-1].item())]
                for role, rows in {**block, "ids": block_ids}.items():
                    writers[role].append(rows)
        files = {role: writer.entry for role, writer in writers.items()}
        if merge.columns:
            with platform_errors(self.path), self._file(number, "rows") as empty:
                pass  # SQLite opens files only by path
            self._require_same_place()
            MetadataTable.write(self.path / empty.name, merge.kinds, merge.values())
            files["rows"] = self._synced(empty.name)
        columns, id_dtype = tuple(merge.columns), merge.id_dtype.str
        entry = SegmentEntry(number, len(merge), 0, id_dtype, bounds[0], bounds[-1], columns, files)
        return self._open(entry, self._folder_fd)

    def open_segment(self, entry: SegmentEntry) -> Segment:
        """Map the files of a segment that is to be committed; call inside `writing`."""
        return self._open(entry, self._folder_fd)

    def build_tables(self, segment: Segment, generation: int) -> SearchTables:
        """Write the search tables of a segment, synced; call inside `writing`.

        Raises:
            PlatformError: If the disk is full or the folder cannot be written.
        """
        with detect_truncation():
            arrays = MultiIndex.from_codes(segment.codes).arrays()
        entries = arranged(arrays)
        with platform_errors(self.path), self._file(segment.number, "tables", generation) as file:
            for name, array in arrays.items():
                file.append(np.zeros(entries[name].start - file.bytes, np.uint8))
                file.append(array)
        return SearchTables.open(
            self.path, TablesEntry(file.entry, entries), self._folder_fd, self.options.mapped_bytes
        )

    def commit(self, state: State) -> State:
        """Make ``state`` the contents of the folder; call inside `writing`.

        Returns:
            The state, with arrays in memory replaced by their files.

        Raises:
            PlatformError: If the disk is full or the folder cannot be written; the old contents stay.
        """
        with platform_errors(self.path):
            state = replace(state, segments=tuple(map(self._with_deletions, state.segments)))
            raw = self._manifest(state).to_json()
            manifest = self._parsed(raw)  # check that it can be read, or the index would be lost
            with Writer(_NEW, self._folder_fd) as file:
                file.append(np.frombuffer(raw, np.uint8))
            sync_folder(self.path)  # new files before the manifest that names them
            self._require_same_place()
            os.replace(_NEW, manifest_module.NAME, src_dir_fd=self._folder_fd, dst_dir_fd=self._folder_fd)
        self._sweep(manifest)
        settle(self.path / manifest_module.NAME)
        self.stamp = xxhash.xxh3_128_hexdigest(raw)  # last, so that after an error the next change reads the folder
        return state

    def _manifest(self, state: State) -> Manifest:
        model = None if state.model_folder is None else self._links.make(state.model_folder)
        roots = tuple(map(self._links.make, state.image_roots))
        return Manifest(
            **_common(state),
            segments=tuple(map(SegmentEntry.from_segment, state.segments)),
            model=model,
            image_roots=roots,
        )

    def check(self) -> None:
        """Compare every file with its checksum.

        Raises:
            ArtefactError: If files differ; the message names them.
        """
        with self._opened() as folder_fd, platform_errors(self.path, "read"):
            manifest = self._parsed(self._raw_manifest(folder_fd))
            damaged = [entry.name for entry in manifest.files() if _differs(entry, folder_fd)]
        if damaged:
            derived = manifest.derived().issuperset(damaged)
            remedy = "build them again with optimize()" if derived else "restore a backup or rebuild the index"
            raise ArtefactError(f"{self.path}: {', '.join(damaged)} differ from their checksums; {remedy}")

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the folder: its files belong together even if another folder takes its place meanwhile."""
        if self._folder_fd >= 0:
            yield self._folder_fd  # what is written is locked
            return
        with self._reading():
            folder_fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield folder_fd
        finally:
            os.close(folder_fd)

    def _raw_manifest(self, folder_fd: int) -> bytes:
        with self._reading():
            return read_regular(manifest_module.NAME, folder_fd)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):
            raise ArtefactError(f"there is no index at {self.path}; create one with Index.create") from None
        except OSError as error:
            raise platform_error(f"{self.path / manifest_module.NAME} cannot be read", error) from None

    def _parsed(self, raw: bytes) -> Manifest:
        return Manifest.from_json(raw, str(self.path / manifest_module.NAME))

    def _require_same_place(self) -> None:
        """Raise if the folder was moved or replaced since its lock was taken."""
        with suppress(OSError):
            if os.path.samestat(os.stat(self.path), os.fstat(self._folder_fd)):
                return
        raise PlatformError(f"{self.path} was moved or replaced while it was written; nothing is changed, try again")

    def _open(self, entry: SegmentEntry, folder_fd: int, earlier: Segment | None = None) -> Segment:
        """Map a segment; unchanged files of an earlier one are reused, with their verified checksums."""
        same = earlier.files() if earlier is not None else {}

        def part(role: str, dtype: str = "u1", columns: int | None = None) -> CheckedArray:
            old = same.get(role)
            file = entry.files[role]
            return old if old is not None and old.entry == file else self._array(file, folder_fd, dtype, columns)

        def wide(role: str) -> CheckedArray | None:
            file = entry.files.get(role)
            return None if file is None else part(role, columns=file.bytes // entry.rows)

        table = earlier.table if earlier is not None else None
        if "rows" in entry.files and (table is None or part("rows") is not table.file):
            table = MetadataTable.open(self.path / entry.files["rows"].name, entry.columns, part("rows"))
        return Segment(
            number=entry.number,
            rows=entry.rows,
            dead=entry.dead,
            bounds=(stored_id(entry.first), stored_id(entry.last)),
            stored_codes=part("codes", columns=entry.files["codes"].bytes // entry.rows),
            stored_ids=part("ids", entry.id_dtype),
            stored_alive=part("alive") if "alive" in entry.files else None,
            stored_vectors=wide("vectors"),
            stored_concepts=wide("concepts"),
            table=table,
            tables=self._open_tables(entry, folder_fd, earlier),
        )

    def _open_tables(self, entry: SegmentEntry, folder_fd: int, earlier: Segment | None) -> SearchTables | None:
        if entry.tables is None:
            return None
        known = earlier.tables if earlier is not None else None
        same = known is not None and known.entry == entry.tables and not known.missing
        return known if same else SearchTables.open(self.path, entry.tables, folder_fd, self.options.mapped_bytes)

    def _with_deletions(self, segment: Segment) -> Segment:
        """Write the bitmap of a segment with deleted items."""
        alive = segment.stored_alive
        if alive is None or alive.entry is not None:
            return segment
        with self._file(segment.number, "alive", segment.dead) as file:
            file.append(alive.array)
        return replace(segment, stored_alive=self._array(file.entry, self._folder_fd))

    def _array(self, entry: FileEntry, folder_fd: int, dtype: str = "u1", columns: int | None = None) -> CheckedArray:
        mapped = self.options.mapped_bytes
        return CheckedArray.open(self.path, entry, dtype, columns, folder_fd=folder_fd, mapped_bytes=mapped)

    def _file(self, number: int, role: str, version: int = 0) -> Writer:
        return Writer(file_name(number, role, version), self._folder_fd)

    def _synced(self, name: str) -> FileEntry:
        """Sync a file that SQLite has written, and describe it."""
        with platform_errors(self.path):
            sync_file(name, self._folder_fd)
            size = os.stat(name, dir_fd=self._folder_fd).st_size
            return FileEntry(name, size, file_checksum(name, self._folder_fd))

    def _sweep(self, manifest: Manifest) -> None:
        keep = {entry.name for entry in manifest.files()}
        with suppress(OSError):  # an orphan only wastes space; readers may still map it
            for name in os.listdir(self._folder_fd):
                if _OURS.fullmatch(name) and name not in keep:
                    os.unlink(name, dir_fd=self._folder_fd)


def _differs(entry: FileEntry, folder_fd: int) -> bool:
    try:
        return file_checksum(entry.name, folder_fd) != entry.checksum
    except FileNotFoundError:
        return True


def _has_its_tables(segment: Segment) -> bool:
    return segment.tables is None or not segment.tables.missing


def _common(source: State | Manifest) -> dict[str, Any]:
    return {name: getattr(source, name) for name in _COMMON}


@contextmanager
def platform_errors(path: Path, action: str = "written") -> Iterator[None]:
    """Turn errors of the system into `PlatformError`; a missing file is left to the reader."""
    try:
        yield
    except BlockingIOError:
        raise PlatformError(
            f"another writer is changing {path}; try again when it has finished, or set a time to wait"
        ) from None
    except OSError as error:
        if isinstance(error, (PlatformError, FileExistsError)):
            raise
        if action == "read" and isinstance(error, FileNotFoundError):
            raise
        raise platform_error(f"{path} cannot be {action}", error) from None
