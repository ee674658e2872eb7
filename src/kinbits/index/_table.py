"""Metadata of one segment: an immutable SQLite database, in memory or mapped from its file."""

from __future__ import annotations

import json
import sqlite3
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from kinbits._errors import ArtefactError
from kinbits.index._filter import Condition


class Table:
    """Rows 0..n-1 of named columns. Users' column names stand in a table of names, never in a statement."""

    def __init__(self, connection: sqlite3.Connection, origin: str) -> None:
        self._connection = connection
        self._origin = origin
        weakref.finalize(self, connection.close)
        with self._damage():
            names = connection.execute("SELECT name FROM names ORDER BY position").fetchall()
        self.columns: tuple[str, ...] = tuple(name for (name,) in names)

    @classmethod
    def build(cls, columns: Mapping[str, Sequence[Any]], rows: int) -> Table:
        """Make a table in memory from columns of plain values, each ``rows`` long."""
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        fields = [f"c{position}" for position in range(len(columns))]
        connection.execute("CREATE TABLE names (position INTEGER PRIMARY KEY, name TEXT)")
        connection.execute(f"CREATE TABLE items ({', '.join(['row INTEGER PRIMARY KEY', *fields])})")
        connection.executemany("INSERT INTO names VALUES (?, ?)", enumerate(columns))
        items = zip(range(rows), *columns.values(), strict=True)
        marks = ", ".join("?" * (len(fields) + 1))
        connection.executemany(f"INSERT INTO items VALUES ({marks})", items)
        connection.commit()
        return cls(connection, "memory")

    @classmethod
    def open(cls, path: Path) -> Table:
        """Open a table's file for reading; it never changes once it is written."""
        uri = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        try:
            connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
        except sqlite3.Error as error:
            raise ArtefactError(f"{path} cannot be opened ({error}); restore it from a backup") from None
        return cls(connection, str(path))

    def serialize(self) -> bytes:
        """Return the bytes of the database file."""
        return self._connection.serialize()

    def select(self, conditions: Sequence[Condition], rows: int) -> NDArray[np.bool_]:
        """Return which of ``rows`` rows meet all conditions; a missing column counts as all NULL."""
        compiled = [condition.sql(self._field(condition.column)) for condition in conditions]
        clause = " AND ".join(sql for sql, _ in compiled)
        with self._damage():
            found = self._connection.execute(
                f"SELECT row FROM items WHERE {clause}", [value for _, value in compiled]
            ).fetchall()
        mask = np.zeros(rows, dtype=np.bool_)
        mask[[row for (row,) in found]] = True
        return mask

    def rows(self, wanted: Sequence[int]) -> list[dict[str, Any]]:
        """Return the metadata of the wanted rows, in their order."""
        statement = "SELECT * FROM items WHERE row IN (SELECT value FROM json_each(?))"
        with self._damage():
            found = {row: values for row, *values in self._connection.execute(statement, [json.dumps(wanted)])}
        return [dict(zip(self.columns, found[row], strict=True)) for row in wanted]

    def check(self) -> None:
        """Let SQLite look at every page.

        Raises:
            ArtefactError: if it finds damage.
        """
        with self._damage():
            (answer,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
        if answer != "ok":
            raise ArtefactError(f"metadata {self._origin} are damaged ({answer}); restore them from a backup")

    def _field(self, column: str) -> str:
        return f"c{self.columns.index(column)}" if column in self.columns else "NULL"

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise ArtefactError(f"metadata {self._origin} are damaged ({error}); restore them from a backup") from None
