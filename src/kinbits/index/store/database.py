"""SQLite databases: few open files, no running statement during a fork, and no trust in files."""

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

_MOST_OPEN = 64  # open files; each takes a descriptor and a page cache
LONGEST_PATH = 500  # bytes; SQLite opens no path of 512 bytes or more
_STEPS = 100_000  # instructions of SQLite between two checks of a statement's budget
_STEPS_PER_BYTE = 1_000  # a filter of 500 comparisons takes about 500 per byte of the shortest rows
_LONGEST = 1 << 28  # bytes by which a text may exceed its file: a list of values or rows
_FIELD = re.compile(r", c\d+ /\*([a-z]+)\*/")

# Locks are taken in this order: this one, those of databases, the pool's. So no two threads wait for each other.
_registry = threading.RLock()
_locks: weakref.WeakSet[threading.RLock] = weakref.WeakSet()
_pool = threading.RLock()
_open: OrderedDict[int, weakref.ref[Database]] = OrderedDict()  # open files, least recently used first
_held: list[threading.RLock] = []


class Database:
    """A database whose statements run one at a time, in any thread and in a forked child.

    The first statement opens the connection to a file. It is closed after many other files were used, and in a forked
    child; the next statement opens it again.
    """

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], *, size: int | None = None, in_file: bool = False
    ) -> None:
        """Make a database.

        Args:
            connect: Opens the connection.
            size: Size in bytes of an untrusted file, which limits statements; None for a database in memory.
            in_file: Whether the connection takes a descriptor, so that few may be open.
        """
        self._connect, self._size, self._in_file = connect, size, in_file
        self._lock = new_lock()
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def statement(self, parameters: int = 0) -> Iterator[sqlite3.Connection]:
        """Hold the connection for one statement, until its last row is fetched.

        Args:
            parameters: Size of its parameters in bytes, which adds to its budget.
        """
        with self._lock:
            if self._connection is None:
                self._connection = self._connect()
            if self._in_file:
                _keep(self)
            if self._size is not None:
                # not a Python function: SQLite would lose an exception of a signal handler
                budget = (self._size + parameters) * _STEPS_PER_BYTE // _STEPS
                self._connection.set_progress_handler(chain(repeat(0, budget), repeat(1)).__next__, _STEPS)
            yield self._connection

    def close(self) -> bool:
        """Close the connection and return True, unless a statement is running."""
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
    """Return a lock that a fork waits for, so that no child inherits a running statement."""
    lock = threading.RLock()
    with _registry:
        _locks.add(lock)
    return lock


def in_file(path: Path, file: CheckedArray, columns: int) -> Database:
    """Return the database in a file of an index; nothing is read yet."""
    size = file.entry.bytes if file.entry is not None else 0
    connect = partial(_open_file, path, file, size, columns)
    return Database(connect, size=size, in_file=file.mapped is not None)


def schema(kinds: Sequence[Kind]) -> str:
    """Return the statement that creates the table of a segment.

    Types of columns are comments, because SQLite would convert values to the types that it knows.
    """
    fields = [f"c{place} /*{kind}*/" for place, kind in enumerate(kinds)]
    return f"CREATE TABLE items ({', '.join(['row INTEGER PRIMARY KEY', *fields])})"


def kinds_of(connection: sqlite3.Connection, columns: int) -> list[Kind]:
    """Return the types of the columns of a table.

    Raises:
        sqlite3.Error: If the database holds anything but the table of `schema`.
    """
    entries = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT 2").fetchall()
    if len(entries) == 1 and entries[0][:3] == ("table", "items", "items"):
        kinds = [kind for named in _FIELD.findall(str(entries[0][3])) for kind in KINDS if kind == named]
        if len(kinds) == columns and entries[0][3] == schema(kinds):
            return kinds
    raise sqlite3.DatabaseError("it holds tables, views or columns that an index does not write")


def _open_file(path: Path, file: CheckedArray, size: int, columns: int) -> sqlite3.Connection:
    """Open the mapped file if its path still leads to it and SQLite accepts the path, else the bytes in memory.

    Only these bytes were compared with their checksum.
    """
    if _is_at(path, file):
        try:
            connection = _connected(f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", None, size, columns)
        except sqlite3.Error:
            if _is_at(path, file):
                raise
        else:
            if _is_at(path, file):  # check again, because SQLite opens whatever has the name now
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


def _is_at(path: Path, file: CheckedArray) -> bool:
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
    """Disable all that a forged file could trigger, before SQLite reads its schema."""
    for setting in ("trusted_schema=OFF", "cell_size_check=ON", "query_only=ON"):
        connection.execute(f"PRAGMA {setting}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 1 << 20)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, size + _LONGEST)


def _keep(database: Database) -> None:
    """Record the use of a file, and close the least recently used ones."""
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
