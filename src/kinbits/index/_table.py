"""Metadata of one segment: an immutable SQLite database, in memory or in its file.

Users' column names stand in the manifest; here columns are known by their number, so that no text of a user
ever is part of a statement.
"""

from __future__ import annotations

import json
import sqlite3
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from kinbits._errors import ArtefactError, DataError, PlatformError
from kinbits.index import _bitmap
from kinbits.index._bitmap import Bitmap
from kinbits.index._filter import Condition
from kinbits.index._stored import Stored

Values = tuple[Any, ...]

_ROWS_PER_STATEMENT = 32  # twice as fast as one row at a time
_MOST_PARAMETERS = 999  # of one statement, in the oldest SQLite
_BITS_PER_QUERY = 1 << 20
_SAMPLE = 1 << 14  # rows whose answers tell how to ask for the others
_FEW_SHARE = 0.3  # below, it is faster to list the rows
_FEW = "SELECT CAST(group_concat(row) AS BLOB) FROM items WHERE ({}) AND row > ? AND row <= ?"
_MANY = (
    "SELECT CAST(group_concat(bit, '') AS BLOB) FROM (SELECT CASE WHEN {} THEN '1' ELSE '0' END AS bit "
    "FROM items WHERE row > ? AND row <= ? ORDER BY row)"
)
_REMEMBERED = 4  # bitmaps of n / 8 bytes each


class Table:
    """Rows 0 to n - 1 of named columns.

    Attributes:
        columns: Their names.
        file: The bytes of the database, compared with their checksum before SQLite sees them; None in memory.
    """

    def __init__(self, connection: sqlite3.Connection, columns: Sequence[str], file: Stored | None = None) -> None:
        self._connection = connection
        self.columns = tuple(columns)
        self.file = file
        self._selected: OrderedDict[tuple[Any, ...], Bitmap] = OrderedDict()
        weakref.finalize(self, connection.close)

    @classmethod
    def build(cls, columns: Sequence[str], rows: Iterable[Values]) -> Table:
        """Make a table in memory."""
        connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        with _writing("memory"):
            _fill(connection, len(columns), rows)
        return cls(connection, columns)

    @classmethod
    def write(cls, path: Path, columns: int, rows: Iterable[Values]) -> None:
        """Write a table's file; whoever calls it syncs it.

        Raises:
            PlatformError: if the disk is full or the folder cannot be written.
        """
        path.unlink(missing_ok=True)
        with _writing(str(path)), closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for setting in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE"):  # nobody reads it yet
                connection.execute(f"PRAGMA {setting}")
            _fill(connection, columns, rows)

    @classmethod
    def open(cls, path: Path, columns: Sequence[str], file: Stored) -> Table:
        """Open a table's file for reading; it never changes once it is written."""
        uri = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        try:
            connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
        except sqlite3.Error as error:
            path.stat()  # if it has gone, the caller looks for a newer manifest
            raise ArtefactError(f"{path} cannot be opened ({error}); restore it from a backup") from None
        return cls(connection, columns, file)

    def select(self, conditions: Sequence[Condition], rows: int) -> Bitmap:
        """Return which of ``rows`` rows meet all conditions; a missing column counts as all NULL.

        The last few answers are remembered.
        """
        compiled = [condition.sql(self._field(condition.column)) for condition in conditions]
        key = tuple(compiled)
        found = self._selected.pop(key, None)
        if found is None:
            clause = " AND ".join(sql for sql, _ in compiled)
            found = self._evaluate(clause, [value for _, value in compiled], rows)
        self._selected[key] = found
        if len(self._selected) > _REMEMBERED:
            self._selected.popitem(last=False)
        return found

    def rows(self, wanted: Sequence[int]) -> list[dict[str, Any]]:
        """Return the metadata of the wanted rows, in their order."""
        statement = "SELECT * FROM items WHERE row IN (SELECT value + 1 FROM json_each(?))"
        with self._reading() as connection:
            found = {row: values for row, *values in connection.execute(statement, [json.dumps(wanted)])}
            return [dict(zip(self.columns, found[row + 1], strict=True)) for row in wanted]

    def values(self, columns: Sequence[str]) -> Iterator[Values]:
        """Iterate over all rows in their order, reduced or extended (with None) to some columns."""
        fields = ", ".join(map(self._field, columns))
        with self._reading() as connection:  # the cursor itself: a generator around it takes as long again
            return connection.execute(f"SELECT {fields} FROM items ORDER BY row")

    def check(self, rows: int) -> None:
        """Let SQLite look at every page.

        Raises:
            ArtefactError: if it finds damage, or not as many rows as the segment has.
        """
        with self._reading() as connection:
            (answer,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            counted = connection.execute("SELECT count(*), min(row), max(row) FROM items").fetchone()
        if answer != "ok" or counted != (rows, 1, rows):
            raise ArtefactError(f"metadata {self._origin} are damaged ({answer}); restore them from a backup")

    def _evaluate(self, clause: str, parameters: list[Any], rows: int) -> Bitmap:
        """Ask for the rows in one text per block, which costs far less than a result of its own for each.

        Where few rows meet the condition, that text lists them; else it is a zero or a one for every row.
        """
        parts, few = [], False
        with self._reading() as connection:
            starts = [0, *range(_SAMPLE, rows, _BITS_PER_QUERY)]
            for start, stop in pairwise([*starts, rows]):
                statement = (_FEW if few else _MANY).format(clause)
                (text,) = connection.execute(statement, [*parameters, start, stop]).fetchone()
                bits = (_listed if few else _spelled)(text or b"", start, stop)
                few = bool(bits.mean() < _FEW_SHARE)
                parts.append(_bitmap.pack(bits))
        return np.concatenate(parts)

    def _field(self, column: str) -> str:
        return f"c{self.columns.index(column)}" if column in self.columns else "NULL"

    @property
    def _origin(self) -> str:
        return self.file.entry.name if self.file is not None and self.file.entry is not None else "in memory"

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        if self.file is not None:
            self.file.check()
        try:
            yield self._connection
        except (sqlite3.Error, sqlite3.Warning, KeyError, ValueError) as error:
            raise ArtefactError(f"metadata {self._origin} are damaged ({error}); restore them from a backup") from None


def _spelled(text: bytes, start: int, stop: int) -> NDArray[np.bool_]:
    bits: NDArray[np.bool_] = np.frombuffer(text, dtype=np.uint8) == ord("1")
    if len(bits) != stop - start:
        raise sqlite3.DatabaseError("rows are missing")
    return bits


def _listed(text: bytes, start: int, stop: int) -> NDArray[np.bool_]:
    bits = np.zeros(stop - start, dtype=np.bool_)
    if text:
        bits[np.fromstring(text.decode(), dtype=np.int64, sep=",") - start - 1] = True
    return bits


def _fill(connection: sqlite3.Connection, columns: int, rows: Iterable[Values]) -> None:
    """Insert rows; SQLite counts them from 1, so that row r of the segment has the key r + 1."""
    fields = ["row INTEGER PRIMARY KEY", *(f"c{position}" for position in range(columns))]
    connection.execute(f"CREATE TABLE items ({', '.join(fields)})")
    marks = f"({', '.join('?' * columns)})"
    insert = f"INSERT INTO items ({', '.join(fields[1:])}) VALUES "
    step = max(1, min(_ROWS_PER_STATEMENT, _MOST_PARAMETERS // columns))
    unread = iter(rows)
    connection.execute("BEGIN")
    while batch := list(islice(unread, 64 * step)):
        whole = len(batch) // step * step
        flat = chain.from_iterable(batch[:whole])
        several = zip(*[flat] * (step * columns), strict=True)
        connection.executemany(insert + ", ".join([marks] * step), several)
        connection.executemany(insert + marks, batch[whole:])
    connection.execute("COMMIT")


@contextmanager
def _writing(place: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.DataError as error:
        raise DataError(f"metadata cannot be stored: {error}; shorten the longest values") from None
    except sqlite3.OperationalError as error:
        raise PlatformError(f"{place} cannot be written: {error}; check permissions and free space") from None
    except sqlite3.Error as error:  # of the table that the rows come from
        raise ArtefactError(f"metadata are damaged ({error}); restore them from a backup") from None
