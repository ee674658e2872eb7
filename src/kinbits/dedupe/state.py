"""What earlier searches read of files: a SQLite database, so that a killed process loses only its last batch."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinbits._util import check_parent, full_path
from kinbits.errors import ArtefactError, PlatformError

FORMAT = 1
STATE = "state.sqlite"
_AT_ONCE = 500  # parameters of a statement
_TABLES = """
CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INTEGER, modified INTEGER, changed INTEGER, sha256 BLOB);
CREATE TABLE IF NOT EXISTS contents (
    sha256 BLOB PRIMARY KEY, width INTEGER, height INTEGER, taken REAL, fault TEXT, pixels BLOB);
CREATE TABLE IF NOT EXISTS codes (model TEXT, sha256 BLOB, code BLOB, fault TEXT, PRIMARY KEY (model, sha256));
CREATE TABLE IF NOT EXISTS edits (job TEXT PRIMARY KEY, items INTEGER, distances BLOB);
CREATE TABLE IF NOT EXISTS similarities (
    version TEXT, first BLOB, second BLOB, similarity REAL, PRIMARY KEY (version, first, second)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Content:
    """The bytes of a file: what is known of them.

    Attributes:
        sha256: SHA-256, 32 bytes.
        width: In pixels, upright; 0 where the header cannot be read.
        height: In pixels, upright; 0 where the header cannot be read.
        taken: Time by EXIF, in seconds; None without one.
        fault: Why it cannot be read; None if it can.
        pixels: SHA-256 of the decoded pixels; None if it was not needed.
    """

    sha256: bytes
    width: int = 0
    height: int = 0
    taken: float | None = None
    fault: str | None = None
    pixels: bytes | None = None


@dataclass(frozen=True)
class KnownFile:
    """A file as it was when it was read: if size and times are the same, so is its content.

    Attributes:
        size: In bytes.
        modified: Time of the last change of its content, in nanoseconds.
        changed: Time of the last change of the file or its facts, in nanoseconds.
        sha256: Its content.
    """

    size: int
    modified: int
    changed: int
    sha256: bytes = b""

    def is_same(self, other: KnownFile) -> bool:
        """Return whether size and times are equal."""
        return (self.size, self.modified, self.changed) == (other.size, other.modified, other.changed)


class State:
    """Facts of files and contents, codes, similarities of pairs, and distances of edited images.

    Args:
        folder: Folder of the database, which is created if it is missing; None keeps everything in memory.

    Raises:
        ArtefactError: If the database is damaged, or of another format.
        PlatformError: If it cannot be written.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self.path = None if folder is None else full_path(folder) / STATE
        if self.path is not None:
            check_parent(self.path, "folder")
        with self._readable():
            self._open()

    def _open(self) -> None:
        self._base = sqlite3.connect(":memory:" if self.path is None else self.path, isolation_level=None)
        self._base.execute("PRAGMA trusted_schema = OFF")
        (found,) = self._base.execute("PRAGMA user_version").fetchone()
        if found not in (0, FORMAT):
            raise ArtefactError(f"{self.path} has format {found}, not {FORMAT}; choose another folder, or remove it")
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = NORMAL")  # a power failure may lose the last batches, never damage
        self._base.executescript(_TABLES)
        self._base.execute(f"PRAGMA user_version = {FORMAT}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._base.close()

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise PlatformError(f"{self.path} cannot be used: {error}; check permissions and free space") from None
        except sqlite3.DatabaseError as error:
            raise ArtefactError(f"{self.path} is damaged ({error}); remove it, and all files are read again") from None

    def files(self) -> dict[str, KnownFile]:
        """Return all known files by path."""
        with self._readable():
            rows = self._base.execute("SELECT path, size, modified, changed, sha256 FROM files").fetchall()
        return {os.fsdecode(path): KnownFile(*facts) for path, *facts in rows}

    def contents(self, names: Sequence[bytes]) -> dict[bytes, Content]:
        """Return what is known of some contents."""
        query = "SELECT sha256, width, height, taken, fault, pixels FROM contents WHERE sha256 IN ({})"
        return {row[0]: Content(*row) for row in self._select(query, names)}

    def codes(self, model: str, names: Sequence[bytes], width: int) -> dict[bytes, tuple[bytes | None, str | None]]:
        """Return the codes of some contents by a model, or why there is none; those of another width are left out."""
        query = "SELECT sha256, code, fault FROM codes WHERE model = ? AND sha256 IN ({})"
        rows = self._select(query, names, model)
        whole = ((name, code, fault) for name, code, fault in rows if code is None or isinstance(code, bytes))
        return {name: (code, fault) for name, code, fault in whole if code is None or len(code) == width}

    def _select(self, query: str, names: Sequence[bytes], *first: Any) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            with self._readable():
                yield from self._base.execute(query.format(",".join("?" * len(some))), (*first, *some)).fetchall()

    def keep_files(self, files: Iterable[tuple[str, KnownFile]], contents: Iterable[Content]) -> None:
        """Keep files with their contents, all or none."""
        with self._transaction():
            self._base.executemany(
                "INSERT OR IGNORE INTO contents VALUES (?, ?, ?, ?, ?, ?)",
                [(c.sha256, c.width, c.height, c.taken, c.fault, c.pixels) for c in contents],
            )
            self._base.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
                [(os.fsencode(path), f.size, f.modified, f.changed, f.sha256) for path, f in files],
            )

    def keep_codes(self, model: str, rows: Iterable[tuple[bytes, bytes | None, str | None]]) -> None:
        """Keep codes of contents, or why there is none, all or none."""
        with self._transaction():
            values = [(model, *row) for row in rows]
            self._base.executemany("INSERT OR REPLACE INTO codes VALUES (?, ?, ?, ?)", values)

    def keep_pixels(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep the hashes of decoded pixels of contents, all or none."""
        with self._transaction():
            values = [(pixels, name) for name, pixels in rows]
            self._base.executemany("UPDATE contents SET pixels = ? WHERE sha256 = ?", values)

    def edits(self, job: str, count: int) -> tuple[int, NDArray[np.int16]] | None:
        """Return the number of items that a sample was drawn from, and the distances of its edits; None if unknown."""
        with self._readable():
            row = self._base.execute("SELECT items, distances FROM edits WHERE job = ?", (job,)).fetchone()
        if row is None or not isinstance(row[0], int) or not isinstance(row[1], bytes) or not row[1]:
            return None
        if len(row[1]) % (2 * count):
            return None
        return row[0], np.frombuffer(row[1], np.int16).reshape(count, -1)

    def keep_edits(self, job: str, items: int, distances: NDArray[np.int16]) -> None:
        """Keep the distances of a sample's edits, int16 ``(edits, images)``."""
        with self._transaction():
            values = job, items, np.ascontiguousarray(distances, np.int16).tobytes()
            self._base.execute("INSERT OR REPLACE INTO edits VALUES (?, ?, ?)", values)

    def similarities(self, version: str, names: Sequence[bytes]) -> Iterator[tuple[tuple[bytes, bytes], float]]:
        """Yield known pairs of contents and their similarities, of those whose first content is named."""
        query = "SELECT first, second, similarity FROM similarities WHERE version = ? AND first IN ({})"
        for first, second, value in self._select(query, names, version):
            if not isinstance(value, float) or not 0 <= value <= 1:
                raise ArtefactError(f"{self.path} is damaged (a similarity of {value!r:.40}); remove it")
            yield (first, second), value

    def keep_similarities(self, version: str, rows: Iterable[tuple[bytes, bytes, float]]) -> None:
        """Keep similarities of pairs of contents, all or none."""
        with self._transaction():
            values = [(version, *row) for row in rows]
            self._base.executemany("INSERT OR REPLACE INTO similarities VALUES (?, ?, ?, ?)", values)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._readable():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")
