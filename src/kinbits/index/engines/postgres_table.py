"""One table of an index in PostgreSQL: the statements that create, change and search it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinbits.errors import ArtefactError, UsageError
from kinbits.hamming import Codes
from kinbits.index.engines.postgres_address import CATALOGUE
from kinbits.index.engines.postgres_columns import (
    CODE,
    KINDS_OF_TYPES,
    SQL_TYPES,
    PlannedColumn,
    large_numbers_error,
)
from kinbits.index.engines.postgres_connection import Bits, PostgresConnection
from kinbits.index.engines.postgres_options import HNSW, MOST_EF_SEARCH, TableFacts
from kinbits.index.engines.postgres_sql import Sql, join, name, number, value, write
from kinbits.index.filters.column_types import Kind
from kinbits.index.store.ids import Ids, as_ids, decode_ids, no_ids

Found = tuple[Ids, NDArray[np.int32]]


class Nearest(NamedTuple):
    """A search.

    Attributes:
        codes: Queries, uint8 ``(q, w)``.
        k: Maximum number of hits of a query; None for all.
        radius: Maximum distance; None for any.
        where: Condition on an item.
    """

    codes: Codes
    k: int | None
    radius: int | None
    where: Sql


class PostgresTable:
    """A table with the columns ``id`` and ``binary_code``, and one for each metadata column.

    Attributes:
        connection: Connection to its database.
        place: Its address, for messages.
    """

    def __init__(self, connection: PostgresConnection, ef_search: int) -> None:
        self.connection = connection
        self.place = connection.address.uri
        self._table = name(connection.address.table)
        self._key = value(connection.address.table)
        self._ef_search = ef_search
        self._facts: TableFacts | None = None
        self._iterative: bool | None = None  # whether pgvector goes on until a filter has enough hits

    @property
    def facts(self) -> TableFacts:
        """The facts, as they were read or written last."""
        assert self._facts is not None
        return self._facts

    def create(self, facts: TableFacts) -> None:
        """Create the table, inside a transaction.

        Raises:
            UsageError: If a table of this name exists.
            PlatformError: If pgvector is missing, or the user may not create tables.
        """
        run = self.connection.execute
        run(write("SET LOCAL lock_timeout = '30s'"))  # e.g. for an address that is given twice, with two names
        run(write("SELECT pg_advisory_xact_lock(hashtext({}))", value(CATALOGUE)))  # two programs that create at once
        self.connection.extension_version(create=True)
        if self._exists(self._key):
            raise UsageError(f"the table of {self.place} exists; use open_index, or choose another name")
        run(write("CREATE TABLE IF NOT EXISTS {} (name text PRIMARY KEY, facts jsonb NOT NULL)", name(CATALOGUE)))
        id_type = write('text COLLATE "C"') if facts.ids == "str" else write("bigint")
        run(
            write(
                "CREATE TABLE {} (id {} PRIMARY KEY, {} bit({}) NOT NULL)",
                self._table,
                id_type,
                name(CODE),
                number(facts.bits),
            )
        )
        self.write_facts(facts)

    def write_facts(self, facts: TableFacts) -> None:
        """Store the facts."""
        self.connection.execute(
            write(
                "INSERT INTO {} VALUES ({}, {}::jsonb) ON CONFLICT (name) DO UPDATE SET facts = excluded.facts",
                name(CATALOGUE),
                self._key,
                value(facts.to_json()),
            )
        )
        self._facts = facts

    def read_facts(self, *, lock: bool = False) -> TableFacts:
        """Read the facts.

        Args:
            lock: Make other writers wait until the transaction ends.

        Raises:
            ArtefactError: If there is no table, or kinbits did not create it.
        """
        exists = self._exists(self._key)
        rows = []
        if exists and self._exists(value(CATALOGUE)):
            until = write("FOR UPDATE") if lock else write("")
            rows = self.connection.execute(
                write("SELECT facts::text FROM {} WHERE name = {} {}", name(CATALOGUE), self._key, until)
            )
        if not exists:
            raise ArtefactError(f"there is no table at {self.place}; create one with create_index")
        if not rows:
            raise ArtefactError(f"the table at {self.place} was not created by kinbits; create one with create_index")
        self._facts = TableFacts.from_json(rows[0][0], self.place)
        return self._facts

    def check_codes(self) -> None:
        """Check that the table holds codes of the length that its facts name.

        Raises:
            ArtefactError: If it does not.
        """
        held, wanted = self._types().get(CODE), f"bit({self.facts.bits})"
        if held != wanted:
            raise ArtefactError(
                f"the table at {self.place} has {held} as {CODE}, and {wanted} is expected; restore it from a backup"
            )

    def columns(self) -> dict[str, Kind]:
        """Return the metadata columns with their types."""
        types = {column: kind.partition("(")[0] for column, kind in self._types().items()}
        return {
            column: KINDS_OF_TYPES[kind]
            for column, kind in types.items()
            if kind in KINDS_OF_TYPES and column not in ("id", CODE)
        }

    def count(self, where: Sql) -> int:
        """Count the items that meet a condition."""
        return int(self.connection.execute(write("SELECT count(*) FROM {} WHERE {}", self._table, where))[0][0])

    def largest_id(self) -> int | None:
        """Return the largest id; None without items."""
        largest: int | None = self.connection.execute(write("SELECT max(id) FROM {}", self._table))[0][0]
        return largest

    def ids(self, where: Sql, limit: int | None = None) -> Ids:
        """Return ids of the items that meet a condition."""
        most = write("") if limit is None else write("LIMIT {}", value(limit))
        rows = self.connection.execute(write("SELECT id FROM {} WHERE {} {}", self._table, where, most))
        return self._as_ids(rows)

    def among(self, ids: Ids) -> Sql:
        """Return the condition that an item has one of these ids."""
        return write("id = ANY({})", self._id_array(ids))

    def rows(self, ids: Ids, columns: Sequence[str]) -> dict[Any, tuple[Any, ...]]:
        """Return values of some columns by id; ids that are gone have none."""
        wanted = join(", ", [name("id"), *map(name, columns)])
        found = self.connection.execute(write("SELECT {} FROM {} WHERE {}", wanted, self._table, self.among(ids)))
        return {row[0]: row[1:] for row in found}

    def sample(self, rows: int) -> Codes:
        """Return the codes of some items, the same ones each time."""
        found = self.connection.execute(
            write("SELECT {} FROM {} ORDER BY hashtext(id::text), id LIMIT {}", name(CODE), self._table, value(rows))
        )
        width = (self.facts.bits + 7) // 8
        return np.frombuffer(b"".join(code for (code,) in found), np.uint8).reshape(len(found), width)

    def make_columns(self, planned: Mapping[str, PlannedColumn]) -> None:
        """Add columns that are missing, and let columns of whole numbers hold fractions.

        Raises:
            UsageError: If a column holds whole numbers that it could not hold exactly then.
        """
        run = self.connection.execute
        for column, plan in planned.items():
            if plan.added:
                run(write("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}", self._table, name(column), _type(plan.kind)))
            elif plan.widened:
                beyond = write("{} NOT BETWEEN -9007199254740992 AND 9007199254740992", name(column))
                if run(write("SELECT 1 FROM {} WHERE {} LIMIT 1", self._table, beyond)):
                    raise large_numbers_error(column)
                run(write("ALTER TABLE {} ALTER COLUMN {} TYPE double precision", self._table, name(column)))

    def insert(self, ids: Ids, codes: Codes, columns: Mapping[str, PlannedColumn]) -> None:
        """Add items whose ids are new."""
        listed = join(", ", [name("id"), name(CODE), *map(name, columns)])
        held = self._types()
        types = [held[column].partition("(")[0] for column in ("id", CODE, *columns)]
        values = zip(*(plan.values for plan in columns.values()), strict=True) if columns else ((),) * len(codes)
        bits = self.facts.bits
        rows = (
            (id_, Bits.from_code(code, bits), *others)
            for id_, code, others in zip(decode_ids(ids).tolist(), codes, values, strict=True)
        )
        self.connection.copy(write("COPY {} ({}) FROM STDIN (FORMAT BINARY)", self._table, listed), types, rows)
        if self.facts.index == HNSW:
            self._make_graph()

    def _make_graph(self) -> None:
        """Build the graph if there is none, over all items of the first addition at once."""
        facts = self.facts
        self.connection.execute(
            write(
                "CREATE INDEX IF NOT EXISTS {} ON {} "
                "USING hnsw ({} bit_hamming_ops) WITH (m = {}, ef_construction = {})",
                name(f"kinbits_{facts.name}_{facts.number}"),
                self._table,
                name(CODE),
                number(facts.m),
                number(facts.ef_construction),
            )
        )

    def update(self, ids: Ids, columns: Mapping[str, PlannedColumn]) -> None:
        """Set metadata of items."""
        names = [name(column) for column in columns]
        fresh = join(", ", [write("{} = fresh.{}", column, column) for column in names])
        arrays = [self._id_array(ids), *(write("{}::{}[]", value(p.values), _type(p.kind)) for p in columns.values())]
        statement = write(
            "UPDATE {} AS held SET {} FROM unnest({}) AS fresh (id, {}) WHERE held.id = fresh.id",
            self._table,
            fresh,
            join(", ", arrays),
            join(", ", names),
        )
        self.connection.execute(statement)

    def delete(self, where: Sql) -> Ids:
        """Remove the items that meet a condition; return their ids."""
        return self._as_ids(self.connection.execute(write("DELETE FROM {} WHERE {} RETURNING id", self._table, where)))

    def search(self, asked: Nearest, *, exact: bool) -> list[Found]:
        """Return the hits of each query, ordered by distance, then id.

        Args:
            asked: The search.
            exact: Compare with all codes, even if there is an HNSW graph.
        """
        if exact or asked.k is None or asked.radius is not None:
            return [self._exact(code, asked) for code in asked.codes]
        with self._hnsw(asked.k):
            found = [self._approximate(code, asked) for code in asked.codes]
        # a graph that finds fewer than there may be, e.g. with a filter that few items meet, is no answer
        return [
            one if len(one[0]) >= asked.k else self._exact(code, asked)
            for one, code in zip(found, asked.codes, strict=True)
        ]

    def _exact(self, code: NDArray[np.uint8], asked: Nearest) -> Found:
        """Scan all codes: no index of PostgreSQL serves the order of whole numbers, so none can be used by chance."""
        near = write("({} <~> {})::integer", name(CODE), value(Bits.from_code(code, self.facts.bits)))
        found = write("SELECT id, {} AS distance FROM {} WHERE {}", near, self._table, asked.where)
        within = write("TRUE") if asked.radius is None else write("distance <= {}", value(asked.radius))
        most = write("") if asked.k is None else write("LIMIT {}", value(asked.k))
        return self._found(
            write("SELECT id, distance FROM ({}) AS found WHERE {} ORDER BY distance, id {}", found, within, most)
        )

    def _approximate(self, code: NDArray[np.uint8], asked: Nearest) -> Found:
        near = write("{} <~> {}", name(CODE), value(Bits.from_code(code, self.facts.bits)))
        found = write(
            "SELECT id, {} AS distance FROM {} WHERE {} ORDER BY {} LIMIT {}",
            near,
            self._table,
            asked.where,
            near,
            value(asked.k),
        )
        return self._found(write("SELECT id, distance::integer FROM ({}) AS found ORDER BY distance, id", found))

    @contextmanager
    def _hnsw(self, k: int) -> Iterator[None]:
        """Set the width of the search in the graph for one transaction."""
        if self._iterative is None:
            self._iterative = self.connection.extension_version() >= (0, 8)
        settings = [("hnsw.ef_search", str(min(max(self._ef_search, k), MOST_EF_SEARCH)))]
        if self._iterative:
            settings.append(("hnsw.iterative_scan", "strict_order"))
        with self.connection.transaction():
            calls = [write("set_config({}, {}, true)", value(setting), value(chosen)) for setting, chosen in settings]
            self.connection.execute(write("SELECT {}", join(", ", calls)))
            yield

    def _found(self, statement: Sql) -> Found:
        rows = self.connection.execute(statement)
        return self._as_ids(rows), np.array([distance for _, distance in rows], np.int32)

    def _exists(self, table: Sql) -> bool:
        return bool(self.connection.execute(write("SELECT to_regclass(quote_ident({})) IS NOT NULL", table))[0][0])

    def _types(self) -> dict[str, str]:
        """Return the SQL types of all columns, in the order in which they were added."""
        rows = self.connection.execute(
            write(
                "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
                "WHERE attrelid = to_regclass(quote_ident({})) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                self._key,
            )
        )
        return dict(rows)

    def _id_array(self, ids: Ids) -> Sql:
        listed = value(decode_ids(ids).tolist())
        return write("{}::text[]", listed) if self.facts.ids == "str" else write("{}::bigint[]", listed)

    def _as_ids(self, rows: Sequence[tuple[Any, ...]]) -> Ids:
        return as_ids([row[0] for row in rows]) if rows else no_ids("str" if self.facts.ids == "str" else "int")


def _type(kind: Kind) -> Sql:
    types: dict[str, Sql] = {
        "bigint": write("bigint"),
        "double precision": write("double precision"),
        "text": write("text"),
        "boolean": write("boolean"),
    }
    return types[SQL_TYPES[kind]]
