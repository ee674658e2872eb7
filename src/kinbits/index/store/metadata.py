"""Metadata of one segment: an immutable SQLite database, in memory or in a file.

The manifest holds the names of columns. Statements use their numbers, so that no text of a user is part of a statement.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain, count, islice, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from kinbits.errors import ArtefactError, DataError, PlatformError, platform_error
from kinbits.index.filters.column_types import Kind, converted, decoded
from kinbits.index.filters.expression import Expression
from kinbits.index.filters.sql import compiled
from kinbits.index.store import bitmap
from kinbits.index.store.bitmap import Bitmap
from kinbits.index.store.checked_array import CheckedArray
from kinbits.index.store.database import LONGEST_PATH, Database, in_file, kinds_of, new_lock, schema

Values = Sequence[Any]

_ROWS_PER_STATEMENT = 32  # twice as fast as single rows
_MOST_PARAMETERS = 999  # of one statement, in the oldest SQLite
_ROWS_PER_BLOCK = 1 << 10
_BITS_PER_QUERY = 1 << 20
_SAMPLE = 1 << 14  # rows of the first statement, which decides the form of the second
_FEW_SHARE = 0.3  # below this share it is faster to list the rows
_FEW = "SELECT CAST(group_concat(row) AS BLOB) FROM items WHERE ({}) AND row > ? AND row <= ?"
_MANY = (
    "SELECT CAST(group_concat(bit, '') AS BLOB) FROM (SELECT CASE WHEN {} THEN '1' ELSE '0' END AS bit "
    "FROM items WHERE row > ? AND row <= ? ORDER BY row)"
)
_REMEMBERED = 4  # results of filters, n / 8 bytes each
_OF_THE_SYSTEM = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR)  # errors that are not damage
_TYPES: dict[Kind, str] = {
    "text": "'text'",
    "integer": "'integer'",
    "number": "'integer', 'real'",
    "boolean": "'integer'",
    "mixed": "'text', 'integer', 'real', 'blob'",
    "empty": "''",
}


class MetadataTable:
    """A table of named columns with rows 0 to n - 1.

    Attributes:
        columns: Names of the columns.
        file: Bytes of the database, whose checksum is verified before SQLite reads them; None in memory.
    """

    def __init__(self, database: Database, columns: Sequence[str], file: CheckedArray | None = None) -> None:
        self._database = database
        self.columns = tuple(columns)
        self.file = file
        self._kinds: tuple[Kind, ...] | None = None
        self._selected: OrderedDict[tuple[str, tuple[Any, ...]], Bitmap] = OrderedDict()

    @classmethod
    def from_rows(cls, kinds: Mapping[str, Kind], rows: Iterable[Values]) -> MetadataTable:
        """Make a table in memory.

        Args:
            kinds: Types of the columns by name.
            rows: Values as they are stored.
        """
        connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        with _writing("memory"):
            _fill(connection, list(kinds.values()), rows)
        return cls(Database(lambda: connection), list(kinds))

    @classmethod
    def write(cls, path: Path, kinds: Mapping[str, Kind], rows: Iterable[Values]) -> None:
        """Fill an empty file with a table; the caller syncs it. See `from_rows` for the arguments.

        Raises:
            PlatformError: If the disk is full, the folder cannot be written, or the file is missing or not empty.
        """
        if len(os.fsencode(path)) >= LONGEST_PATH:
            raise PlatformError(f"{path} is too long a path for metadata; choose one below {LONGEST_PATH} bytes")
        uri = f"file:{quote(str(path))}?mode=rw"
        with _writing(str(path)), closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            for setting in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE"):  # no reader yet
                connection.execute(f"PRAGMA {setting}")
            _fill(connection, list(kinds.values()), rows)

    @classmethod
    def open(cls, path: Path, columns: Sequence[str], file: CheckedArray) -> MetadataTable:
        """Open the file of a table for reading."""
        return cls(in_file(path, file, len(columns)), columns, file)

    @property
    def kinds(self) -> dict[str, Kind]:
        """The types of the columns by name.

        Raises:
            ArtefactError: If the file is damaged.
        """
        if self._kinds is None:
            self._kinds = tuple(self._read_kinds())
        return dict(zip(self.columns, self._kinds, strict=True))

    def select(
        self, expression: Expression, rows: int, *, sample: int = _SAMPLE, block: int = _BITS_PER_QUERY
    ) -> Bitmap:
        """Return the rows that meet a bound filter; the last results are cached.

        Args:
            expression: The filter; a column that the table lacks has no values.
            rows: Number of rows.
            sample: Rows of the first statement.
            block: Rows of each further statement.
        """
        kinds = self.kinds
        clause, parameters = compiled(expression, lambda column: (self._field(column), kinds.get(column, "empty")))
        key = (clause, tuple((type(value), value) for value in parameters))
        found = self._selected.pop(key, None)
        if found is None:
            found = self._evaluate(clause, parameters, [0, *range(sample, rows, block), rows])
        self._selected[key] = found
        if len(self._selected) > _REMEMBERED:
            self._selected.popitem(last=False)
        return found

    def rows(self, wanted: Sequence[int]) -> list[dict[str, Any]]:
        """Return the metadata of the wanted rows, in their order."""
        kinds = list(self.kinds.values())
        listed = json.dumps(wanted)
        statement = "SELECT * FROM items WHERE row IN (SELECT value + 1 FROM json_each(?))"
        with self._reading(len(listed)) as connection:
            numbered = connection.execute(statement, [listed]).fetchall()
            values = decoded([row[1:] for row in numbered], kinds)
            if any(isinstance(value, bytes) for row in values for value in row):
                raise sqlite3.DatabaseError("values of a type that no column holds")
            found = dict(zip((row[0] for row in numbered), values, strict=True))
            return [dict(zip(self.columns, found[row + 1], strict=True)) for row in wanted]

    def values(self, kinds: Mapping[str, Kind]) -> Iterator[Values]:
        """Iterate over all rows in order, as stored in columns of these types."""
        return chain.from_iterable(self._blocks(kinds))

    def check(self, rows: int) -> None:
        """Let SQLite check every page, and compare all values with the types of their columns.

        Raises:
            ArtefactError: If it finds damage, or another number of rows than the segment has.
        """
        with self._reading() as connection:
            (answer,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if answer == "ok":
            with self._reading() as connection:
                counted = connection.execute("SELECT count(*), min(row), max(row) FROM items").fetchone()
            fits = all(self._holds(column, kind) for column, kind in self.kinds.items())
            answer = answer if fits else "values of other types than their columns"
        if answer != "ok" or counted != (rows, 1, rows):
            raise ArtefactError(f"metadata {self._origin} are damaged ({answer}); restore them from a backup")

    def _holds(self, column: str, kind: Kind) -> bool:
        """Return whether a column holds only values of its type."""
        field = self._field(column)
        with self._reading() as connection:
            statement = f"SELECT count({field}) = sum(typeof({field}) IN ({_TYPES[kind]})) FROM items"
            return bool(connection.execute(statement).fetchone()[0])

    def _read_kinds(self) -> list[Kind]:
        with self._reading(checked=False) as connection:  # so that info() reads no whole file
            return kinds_of(connection, len(self.columns))

    def _blocks(self, kinds: Mapping[str, Kind]) -> Iterator[list[Values]]:
        """Yield rows in blocks, one statement each; between them the table may be closed, or the process fork."""
        own = self.kinds
        fields = [converted(self._field(name), own.get(name, "empty"), kind) for name, kind in kinds.items()]
        statement = f"SELECT {', '.join(fields)} FROM items WHERE row > ? AND row <= ? ORDER BY row"
        for start in count(0, _ROWS_PER_BLOCK):
            with self._reading() as connection:
                block = connection.execute(statement, [start, start + _ROWS_PER_BLOCK]).fetchall()
            yield block
            if len(block) < _ROWS_PER_BLOCK:
                return

    def _evaluate(self, clause: str, parameters: list[Any], borders: list[int]) -> Bitmap:
        """Read the result as one text per block, which is far cheaper than one result per row.

        If few rows meet the condition, the text lists their numbers; otherwise it has a digit 0 or 1 per row.
        """
        parts, few = [], False
        size = sum(len(value) for value in parameters if isinstance(value, str))
        for start, stop in pairwise(borders):
            statement = (_FEW if few else _MANY).format(clause)
            with self._reading(size) as connection:
                (text,) = connection.execute(statement, [*parameters, start, stop]).fetchone()
                bits = (_from_numbers if few else _from_digits)(text or b"", start, stop)
            few = bool(bits.mean() < _FEW_SHARE)
            parts.append(bitmap.pack(bits))
        return np.concatenate(parts)

    def _field(self, column: str) -> str:
        return f"c{self.columns.index(column)}" if column in self.columns else "NULL"

    @property
    def _origin(self) -> str:
        return self.file.entry.name if self.file is not None and self.file.entry is not None else "in memory"

    @contextmanager
    def _reading(self, parameters: int = 0, *, checked: bool = True) -> Iterator[sqlite3.Connection]:
        if self.file is not None and checked:
            self.file.check()
        try:
            with self._database.statement(parameters) as connection:
                yield connection
        except (sqlite3.Error, sqlite3.Warning, KeyError, ValueError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_SYSTEM:
                raise platform_error(f"metadata {self._origin} cannot be read", error) from None
            raise ArtefactError(f"metadata {self._origin} are damaged ({error}); restore them from a backup") from None


def _from_digits(text: bytes, start: int, stop: int) -> NDArray[np.bool_]:
    bits: NDArray[np.bool_] = np.frombuffer(text, dtype=np.uint8) == ord("1")
    if len(bits) != stop - start:
        raise sqlite3.DatabaseError("rows are missing")
    return bits


def _from_numbers(text: bytes, start: int, stop: int) -> NDArray[np.bool_]:
    bits = np.zeros(stop - start, dtype=np.bool_)
    if text:
        bits[np.fromstring(text.decode(), dtype=np.int64, sep=",") - start - 1] = True
    return bits


def _fill(connection: sqlite3.Connection, kinds: Sequence[Kind], rows: Iterable[Values]) -> None:
    """Insert rows; SQLite counts from 1, so row r of the segment has the key r + 1."""
    columns, lock = len(kinds), new_lock()
    marks = f"({', '.join('?' * columns)})"
    insert = f"INSERT INTO items ({', '.join(f'c{place}' for place in range(columns))}) VALUES "
    step = max(1, min(_ROWS_PER_STATEMENT, _MOST_PARAMETERS // columns))
    unread = iter(rows)
    connection.execute(schema(kinds))
    connection.execute("BEGIN")
    while batch := list(islice(unread, 64 * step)):  # not under the lock, because rows may come from other tables
        whole = len(batch) // step * step
        flat = chain.from_iterable(batch[:whole])
        several = zip(*[flat] * (step * columns), strict=True)
        with lock:
            connection.executemany(insert + ", ".join([marks] * step), several)
            connection.executemany(insert + marks, batch[whole:])
    with lock:
        connection.execute("COMMIT")


@contextmanager
def _writing(place: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.DataError as error:
        raise DataError(f"metadata cannot be stored: {error}; shorten the longest values") from None
    except sqlite3.OperationalError as error:
        raise PlatformError(f"{place} cannot be written: {error}; check permissions and free space") from None
    except sqlite3.Error as error:  # of the table from which rows are read
        raise ArtefactError(f"metadata are damaged ({error}); restore them from a backup") from None
