"""What a migration has to remember between two runs: files that were encoded, and metadata that are to follow."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from kinbits._util import file_aside
from kinbits.errors import ArtefactError, platform_error
from kinbits.index.migration.sources import Stamp
from kinbits.index.store.folder import platform_errors
from kinbits.index.store.ids import Ids

_TABLE = "CREATE TABLE IF NOT EXISTS stamps (id TEXT PRIMARY KEY, size INT, mtime INT) WITHOUT ROWID"


class Notes:
    """Notes on one of the two indexes of a migration.

    Args:
        place: Folder of the migration.
        side: Name of the index there.
    """

    def __init__(self, place: Path, side: str) -> None:
        self._stamps, self._pending = place / f"{side}.files.sqlite", place / f"{side}.metadata.npy"

    def stamps(self, ids: Sequence[str]) -> list[Stamp | None]:
        """Return the stamp of the file that each item was encoded from; None where it is not known."""
        with self._opened() as connection:
            connection.execute("BEGIN")  # one look at the file for all
            rows = [connection.execute("SELECT size, mtime FROM stamps WHERE id = ?", (one,)).fetchone() for one in ids]
        return [None if row is None else (int(row[0]), int(row[1])) for row in rows]

    def put_stamps(self, stamps: Mapping[str, Stamp]) -> None:
        """Note the files that items were encoded from."""
        if stamps:
            with self._opened() as connection:
                rows = ((id_, *stamp) for id_, stamp in stamps.items())
                connection.executemany("INSERT OR REPLACE INTO stamps VALUES (?, ?, ?)", rows)

    def pending(self) -> Ids | None:
        """Return the items whose metadata are to follow; None if there are none."""
        try:
            with platform_errors(self._pending, "read"):
                return np.load(self._pending, allow_pickle=False) if self._pending.exists() else None
        except ValueError:
            raise ArtefactError(f"{self._pending} is damaged; give the migration up and begin it again") from None

    def add_pending(self, ids: Ids) -> None:
        """Note items whose metadata are to follow; this is on disk when it returns."""
        if len(ids):
            known = self.pending()
            every = ids if known is None else np.union1d(known, ids)
            with platform_errors(self._pending), file_aside(self._pending) as aside:
                np.save(aside, every)

    def clear_pending(self) -> None:
        """Note that all metadata have followed."""
        with platform_errors(self._pending):
            self._pending.unlink(missing_ok=True)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._stamps)) as connection, connection:
                connection.execute(_TABLE)
                yield connection
        except sqlite3.Error as error:
            raise platform_error(f"{self._stamps} cannot be used", error) from None
