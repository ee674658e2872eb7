"""SQLite databases: few files are open at a time, no statement runs while the process forks, and no file is trusted."""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from urllib.parse import quote

from kinbits.errors import platform_error
from kinbits.index.filters.column_types import KINDS, Kind
from kinbits.index.store.checked_array import CheckedArray

_MOST_OPEN = 64  # files; each costs a descriptor and a page cache
LONGEST_PATH = 500  # bytes; SQLite opens none of 512 and more
_STEPS = 100_000  # instructions of SQLite between two looks at what is left of a statement's budget
_STEPS_PER_BYTE = 1_000  # a filter of 500 comparisons takes about 500 for a row of the shortest kind
_LONGEST = 1 << 28  # bytes of a text that is longer than its file: a list of values, or of rows
_SCHEMA = re.compile(r"CREATE TABLE items \(row INTEGER PRIMARY KEY((?:, c\d{1,4}(?: /\*[a-z]+\*/)?)*)\)")
_FIELD = re.compile(r", c(\d+)(?: /\*([a-z]+)\*/)?")

# The order of taking locks is: this one, those of databases, the pool's. Whoever holds one waits for none before it.
_registry = threading.RLock()
_locks: weakref.WeakSet[threading.RLock] = weakref.WeakSet()
_pool = threading.RLock()
_open: OrderedDict[int, weakref.ref[Database]] = OrderedDict()  # files that are open, least recently used first
_held: list[threading.RLock] = []


class Database:
    """A database whose statements run one at a time, in any thread and in a forked child.

    The connection to a file is made for the first statement. It is closed when many other files were used since, and in
    a forked child, and made again for the next one.
    """

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], *, size: int | None = None, in_file: bool = False
    ) -> None:
        """Make one.

        Args:
            connect: Opens it.
            size: Of what others wrote, in bytes; None for a database of our own, whose statements have no budget.
            in_file: It costs a descriptor, so it is closed where many are open.
        """
        self._connect, self._size, self._in_file = connect, size, in_file
        self._lock = new_lock()
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def statement(self, parameters: int = 0) -> Iterator[sqlite3.Connection]:
        """Hold the connection for one statement, until its last row was fetched.

        Args:
            parameters: Bytes of its parameters, which may take time beside the rows.
        """
        with self._lock:
            if self._connection is None:
                self._connection = self._connect()
            if self._in_file:
                _keep(self)
            if self._size is not None:
                # no Python function: a signal must not be raised inside SQLite, where it would be lost
                budget = (self._size + parameters) * _STEPS_PER_BYTE // _STEPS
                self._connection.set_progress_handler(chain(repeat(0, budget), repeat(1)).__next__, _STEPS)
            yield self._connection

    def close(self) -> bool:
        """Close the connection and return True, unless a statement runs now."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
        finally:
            self._lock.release()
        return True

    def __del__(self) -> None:
        self.close()


def new_lock() -> threading.RLock:
    """Return a lock that a fork waits for, so that no child inherits a statement in progress."""
    lock = threading.RLock()
    with _registry:
        _locks.add(lock)
    return lock


def in_file(path: Path, file: CheckedArray, columns: int) -> Database:
    """Return the database in a file of an index, which never changes; nothing is read yet."""
    size = file.entry.bytes if file.entry is not None else 0
    connect = partial(_open_file, path, file, size, columns)
    return Database(connect, size=size, in_file=file.mapped is not None)


def schema(kinds: Sequence[Kind]) -> str:
    """Return the statement that makes the table of a segment.

    The types of columns are comments: SQLite would turn values into the types that it knows.
    """
    fields = [f"c{place} /*{kind}*/" for place, kind in enumerate(kinds)]
    return f"CREATE TABLE items ({', '.join(['row INTEGER PRIMARY KEY', *fields])})"


def kinds_of(connection: sqlite3.Connection, columns: int) -> list[Kind | None]:
    """Return the types of a table's columns; None in a table that was written before they were noted.

    Raises:
        sqlite3.Error: The database holds anything but the one table that we write.
    """
    entries = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT 2").fetchall()
    if len(entries) == 1 and entries[0][:3] == ("table", "items", "items"):
        found = _SCHEMA.fullmatch(str(entries[0][3]))
        fields = _FIELD.findall(found[1]) if found else []
        kinds: list[Kind | None] = [next((kind for kind in KINDS if kind == named), None) for _, named in fields]
        if found and [int(number) for number, _ in fields] == list(range(columns)):
            return kinds
    raise sqlite3.DatabaseError("it holds other tables, views or columns than an index writes")


def _open_file(path: Path, file: CheckedArray, size: int, columns: int) -> sqlite3.Connection:
    """Open the file that is mapped, if it still lies there under a name that SQLite takes; else the bytes we hold.

    Those bytes, and no others, were compared with their checksum.
    """
    if _lies_at(path, file):
        try:
            connection = _connected(f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", None, size, columns)
        except sqlite3.Error:
            if _lies_at(path, file):
                raise
        else:
            if _lies_at(path, file):  # looked at again: SQLite opens whatever has the name now
                return connection
            connection.close()
    return _connected(":memory:", file, size, columns)


def _connected(uri: str, file: CheckedArray | None, size: int, columns: int) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
    try:
        if file is not None:
            connection.deserialize(file.array.data)
        _harden(connection, size)
        kinds_of(connection, columns)
    except BaseException:
        connection.close()
        raise
    return connection


def _lies_at(path: Path, file: CheckedArray) -> bool:
    return file.mapped is not None and len(os.fsencode(path)) < LONGEST_PATH and _identity(path) == file.mapped


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise platform_error(f"{path} cannot be read", error) from None
    return found.st_dev, found.st_ino


def _harden(connection: sqlite3.Connection, size: int) -> None:
    """Let nothing in a forged file act: before SQLite looks at its schema."""
    for setting in ("trusted_schema=OFF", "cell_size_check=ON", "query_only=ON"):
        connection.execute(f"PRAGMA {setting}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 1 << 20)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, size + _LONGEST)


def _keep(database: Database) -> None:
    """Note that a file was used, and close those that were used least recently."""
    with _pool:
        _open[id(database)] = weakref.ref(database)
        _open.move_to_end(id(database))
        for key in list(_open)[: max(0, len(_open) - _MOST_OPEN)]:
            oldest = _open[key]()
            if oldest is None or oldest.close():
                del _open[key]


def _before_fork() -> None:
    _registry.acquire()
    for lock in [*_locks, _pool]:
        lock.acquire()
        _held.append(lock)


def _after_fork() -> None:
    while _held:
        _held.pop().release()
    _registry.release()


def _after_fork_in_child() -> None:
    _after_fork()
    while _open:
        _, reference = _open.popitem()
        database = reference()
        if database is not None:
            database.close()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
