"""What an index remembers of the files that it follows: a small SQLite file beside its other files.

An entry tells that its item belongs to the folder: only such items may be deleted. All else that the records say only
saves work, and counts only for the code that it was written for, so they may be lost, damaged, or older than the index:
files without a valid record are encoded again and compared. An entry without a code is written before the code of its
item is stored, and completed afterwards; so a kill in between is seen.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from kinbits._util import parse_json
from kinbits.errors import platform_error
from kinbits.index.store.database import LONGEST_PATH
from kinbits.index.store.links import Link
from kinbits.index.sync.listing import FileStamp
from kinbits.index.sync.plan import FileRecord
from kinbits.index.sync.reading import Reading

NAME = "files.sqlite"
_FORMAT = "1"
_WAIT = 30.0  # seconds for another process that writes records
_DAMAGE = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files (id TEXT PRIMARY KEY, size INT, mtime INT, content BLOB, code BLOB) WITHOUT ROWID;
CREATE TABLE faults (path TEXT PRIMARY KEY, size INT, mtime INT, reason TEXT) WITHOUT ROWID;
"""
_FOLLOW = "INSERT OR IGNORE INTO files (id) VALUES (?)"


@dataclass(frozen=True)
class Records:
    """Everything that is remembered.

    Attributes:
        root: The folder that the index follows; None if it follows none yet.
        reading: How the folder is read; None if that is not known.
        files: Id -> record of the file and digest of the code that it belongs to; None where the code is not known.
        faults: Path -> stamp of a file that could not be decoded, and the reason.
    """

    root: Link | None = None
    reading: Reading | None = None
    files: Mapping[str, tuple[FileRecord, bytes] | None] = field(default_factory=dict)
    faults: Mapping[str, tuple[FileStamp, str]] = field(default_factory=dict)


class RecordFile:
    """Reads and writes the records of one index.

    Args:
        folder: Folder of the index.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def read(self) -> Records:
        """Return what is remembered; nothing if the file is missing or damaged.

        Raises:
            PlatformError: If it cannot be read.
        """
        if not self.path.exists():
            return Records()
        try:
            # what a killed process left unfinished is undone when the file is opened, if that is allowed
            with self._connected("rw" if os.access(self.path.parent, os.W_OK) else "ro") as connection:
                return _read(connection)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error) and _code(error) != sqlite3.SQLITE_READONLY:
                raise platform_error(f"{self.path} cannot be read", error) from None
            return Records()

    def begin(self, root: Link, reading: Reading, ids: Iterable[str] = ()) -> None:
        """Make the file if it is missing or damaged, and note the folder that the index follows, and its items."""
        followed = [(id_,) for id_ in ids]
        link = [root.relative, root.absolute]
        about = {"format": _FORMAT, "root": json.dumps(link), "reading": json.dumps(vars(reading))}
        try:
            with self._connected() as connection:
                _read(connection)
                connection.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", about.items())
                connection.executemany(_FOLLOW, followed)
                return
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise platform_error(f"{self.path} cannot be written", error) from None
        for name in (f"{NAME}-journal", NAME):  # a journal that is left alone would be played into the next file
            self.path.with_name(name).unlink(missing_ok=True)
        with self._writing() as connection:
            connection.executescript(f"BEGIN; {_TABLES}")
            connection.executemany("INSERT INTO about VALUES (?, ?)", about.items())
            connection.executemany(_FOLLOW, followed)

    def expect(self, ids: Iterable[str]) -> None:
        """Note that the codes of items are about to be stored."""
        with self._writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO files (id) VALUES (?)", ((id_,) for id_ in ids))

    def put(self, files: Mapping[str, tuple[FileRecord, bytes]], readable: Iterable[str] = ()) -> None:
        """Record files of items, with the digests of their codes, and forget faults of paths."""
        rows = ((id_, one.stamp.size, one.stamp.mtime, one.content, code) for id_, (one, code) in files.items())
        with self._writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)
            connection.executemany("DELETE FROM faults WHERE path = ?", ((path,) for path in readable))

    def recode(self, codes: Iterable[tuple[str, FileStamp, bytes, bytes]]) -> list[str]:
        """Note other codes of the same files; return the ids whose records were those of these files and codes.

        Args:
            codes: Ids, stamps of files, and digests of the codes before and after.
        """
        statement, changed = "UPDATE files SET code = ? WHERE id = ? AND code = ? AND size = ? AND mtime = ?", []
        with self._writing() as connection:
            for id_, stamp, before, after in codes:
                done = connection.execute(statement, (after, id_, before, stamp.size, stamp.mtime))
                changed += [id_] * done.rowcount
        return changed

    def put_faults(self, faults: Mapping[str, tuple[FileStamp, str]]) -> None:
        """Record files that could not be decoded."""
        rows = ((path, stamp.size, stamp.mtime, reason) for path, (stamp, reason) in faults.items())
        with self._writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO faults VALUES (?, ?, ?, ?)", rows)

    def forget(self, ids: Iterable[str], faults: Iterable[str] = ()) -> None:
        """Forget the files of items, and faults of paths."""
        with self._writing() as connection:
            connection.executemany("DELETE FROM files WHERE id = ?", ((id_,) for id_ in ids))
            connection.executemany("DELETE FROM faults WHERE path = ?", ((path,) for path in faults))

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connected() as connection:
                yield connection
        except sqlite3.Error as error:
            raise platform_error(f"{self.path} cannot be written", error) from None

    @contextmanager
    def _connected(self, mode: str = "rwc") -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction."""
        self._require_regular()
        uri = f"{self.path.as_uri()}?mode={mode}"
        with closing(sqlite3.connect(uri, uri=True, timeout=_WAIT)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            with connection:
                yield connection

    def _require_regular(self) -> None:
        """Refuse a link, a pipe or a device under the name of the file."""
        if len(os.fsencode(self.path)) > LONGEST_PATH - len("-journal"):
            raise platform_error(f"{self.path} cannot be used", OSError(36, "File name too long"))
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(self.path).st_mode):
                raise platform_error(f"{self.path} cannot be used", OSError(22, "not a regular file"))


def code_digest(code: Any) -> bytes:
    """Return a digest of a packed code, uint8 ``(w,)``, by which a record knows its code again."""
    return xxhash.xxh3_64_digest(code.tobytes())


def _read(connection: sqlite3.Connection) -> Records:
    about = dict(connection.execute("SELECT name, value FROM about").fetchall())
    if about.get("format") != _FORMAT:
        error = sqlite3.DatabaseError("of another format")
        error.sqlite_errorcode = sqlite3.SQLITE_FORMAT
        raise error
    files = connection.execute("SELECT id, size, mtime, content, code FROM files").fetchall()
    faults = connection.execute("SELECT path, size, mtime, reason FROM faults").fetchall()
    return Records(
        root=_link(about.get("root")),
        reading=Reading.from_dict(_parsed(about.get("reading"))),
        files={row[0]: _file(*row[1:]) for row in files},
        faults={path: (FileStamp(size, mtime), str(reason)) for path, size, mtime, reason in faults},
    )


def _file(size: Any, mtime: Any, content: Any, code: Any) -> tuple[FileRecord, bytes] | None:
    if [type(one) for one in (size, mtime, content, code)] != [int, int, bytes, bytes]:
        return None
    return FileRecord(FileStamp(size, mtime), content), code


def _parsed(text: Any) -> Any:
    """Return the value of JSON; None if it is damaged."""
    with suppress(ValueError, TypeError):
        return parse_json(text)
    return None


def _link(text: Any) -> Link | None:
    places = _parsed(text)
    if isinstance(places, list) and [type(place) for place in places] == [str, str]:
        return Link(*places)
    return None


def _is_damage(error: sqlite3.Error) -> bool:
    return _code(error) in _DAMAGE


def _code(error: sqlite3.Error) -> int:
    """Return the primary result code of SQLite."""
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
