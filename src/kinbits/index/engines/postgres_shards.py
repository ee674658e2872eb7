"""The tables of an index on one server or several: where an item belongs, common transactions, and merged hits.

kinbits asks each server itself, side by side, and not through foreign tables. These pass on no settings of a session,
such as the width of a search in a graph, and PostgreSQL gives a table with foreign partitions no primary key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import numpy as np
import xxhash
from numpy.typing import NDArray

from kinbits.errors import PlatformError, UsageError
from kinbits.hamming import Codes
from kinbits.index.engines.base import share_found
from kinbits.index.engines.postgres_columns import PlannedColumn, plan_columns
from kinbits.index.engines.postgres_sql import write
from kinbits.index.engines.postgres_table import Found, Nearest, PostgresTable
from kinbits.index.store.ids import Ids, concatenate, decode_ids

T = TypeVar("T")


class PostgresShards:
    """The tables of one index.

    Attributes:
        tables: The tables; the first one's facts count for all.
    """

    def __init__(self, tables: Sequence[PostgresTable]) -> None:
        self.tables = tuple(tables)

    @property
    def first(self) -> PostgresTable:
        """The first table."""
        return self.tables[0]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the changes inside on all servers or, after an error, on none.

        The servers commit one after the other, the first one last, because it holds the lock for writers.

        Raises:
            PlatformError: If a server fails while they commit; the message says that some have committed.
        """
        complete = False
        try:
            with ExitStack() as stack:
                for table in self.tables:
                    stack.enter_context(table.connection.transaction())
                yield
                complete = True
        except PlatformError as error:
            if complete and len(self.tables) > 1:
                raise PlatformError(
                    f"{error}. Some of the {len(self.tables)} servers may have made the change; make it again, with "
                    "upsert=True if items are added"
                ) from None
            raise

    def each(self, ask: Callable[[PostgresTable], T]) -> list[T]:
        """Ask all tables side by side; not inside a transaction."""
        if len(self.tables) == 1:
            return [ask(self.first)]
        with ThreadPoolExecutor(len(self.tables)) as pool:
            return list(pool.map(ask, self.tables))

    def parts(self, ids: Ids) -> list[tuple[PostgresTable, NDArray[np.int64]]]:
        """Return the tables that ids belong to, each with the places of its ids."""
        if len(self.tables) == 1:
            return [(self.first, np.arange(len(ids)))]
        hashes = (xxhash.xxh3_64_intdigest(_as_bytes(id_)) for id_ in ids.tolist())
        at = np.fromiter(hashes, np.uint64, len(ids)) % np.uint64(len(self.tables))
        places = [(table, np.flatnonzero(at == shard)) for shard, table in enumerate(self.tables)]
        return [(table, rows) for table, rows in places if rows.size]

    def present(self, ids: Ids) -> Ids:
        """Return those of some ids that the index holds."""
        return concatenate([table.ids(table.among(ids[rows])) for table, rows in self.parts(ids)])

    def next_ids(self, count: int) -> Ids:
        """Return ids that continue the largest one.

        Raises:
            UsageError: If ids are text, or the largest possible one is used.
        """
        if self.first.facts.ids == "str":
            raise UsageError("this index has str ids; pass ids= for the new items")
        largest = max((found for table in self.tables if (found := table.largest_id()) is not None), default=-1)
        if largest + count >= np.iinfo(np.int64).max:
            raise UsageError("the index has used its largest possible id; pass ids= for the new items")
        return np.arange(count, dtype=np.int64) + max(0, largest + 1)

    def insert(self, ids: Ids, codes: Codes, columns: Mapping[str, list[Any]], *, upsert: bool) -> None:
        """Add items, inside a transaction; with ``upsert``, they replace those of the same ids.

        Raises:
            UsageError: If a column cannot hold its values.
        """
        planned = self._make_columns(columns)
        for table, rows in self.parts(ids):
            if upsert:
                table.delete(table.among(ids[rows]))
            table.insert(ids[rows], codes[rows], {name: plan.rows(rows) for name, plan in planned.items()})

    def update(self, ids: Ids, columns: Mapping[str, list[Any]]) -> None:
        """Set metadata of items that the index holds, inside a transaction; errors as in `insert`."""
        planned = self._make_columns(columns)
        for table, rows in self.parts(ids) if planned else ():
            table.update(ids[rows], {name: plan.rows(rows) for name, plan in planned.items()})

    def _make_columns(self, columns: Mapping[str, list[Any]]) -> dict[str, PlannedColumn]:
        planned = plan_columns(columns, self.first.columns())
        for table in self.tables:
            table.make_columns(planned)
        return planned

    def rows(self, ids: Ids, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return columns of items, in the order of their ids; nothing for those that are gone meanwhile."""
        rows: dict[Any, tuple[Any, ...]] = {}
        for table, places in self.parts(ids):
            rows |= table.rows(ids[places], columns)
        return [rows.get(id_, ()) for id_ in decode_ids(ids).tolist()]

    def search(self, asked: Nearest, *, exact: bool) -> list[Found]:
        """Return the hits of each query over all tables, ordered by distance, then id."""
        found = self.each(lambda table: table.search(asked, exact=exact))
        return [_merged(answers, asked.k) for answers in zip(*found, strict=True)]

    def recall(self, k: int, sample: int) -> float:
        """Return the share of the k nearest of some stored codes that an approximate search finds."""
        codes = np.concatenate(self.each(lambda table: table.sample(sample)))[:sample]
        asked = Nearest(codes, k, None, write("TRUE"))
        found = [near for _, near in self.search(asked, exact=False)]
        true = [near for _, near in self.search(asked, exact=True)]
        return share_found(found, true)


def _merged(answers: Sequence[Found], k: int | None) -> Found:
    if len(answers) == 1:
        return answers[0]
    ids, near = concatenate([ids for ids, _ in answers]), np.concatenate([near for _, near in answers])
    order = np.lexsort((ids, near))[:k]
    return ids[order], near[order]


def _as_bytes(id_: int | bytes) -> bytes:
    return id_ if isinstance(id_, bytes) else id_.to_bytes(8, "little", signed=True)
