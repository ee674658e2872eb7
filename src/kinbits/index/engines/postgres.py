"""PostgreSQL with pgvector: an index in a table, or in tables of several servers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.encoding import CodesFile
from kinbits.errors import ArtefactError, DataError, UsageError
from kinbits.hamming import Codes
from kinbits.index.changes import what_to_delete
from kinbits.index.engines.base import MEASURED_K, PathLike, ServerIndex, Supports, read_length, read_options
from kinbits.index.engines.postgres_address import PostgresAddress
from kinbits.index.engines.postgres_columns import CODE
from kinbits.index.engines.postgres_connection import PostgresConnection
from kinbits.index.engines.postgres_filter import condition
from kinbits.index.engines.postgres_options import EXACT, FIXED, PostgresOptions, TableFacts
from kinbits.index.engines.postgres_shards import PostgresShards
from kinbits.index.engines.postgres_sql import Sql, write
from kinbits.index.engines.postgres_table import Found, Nearest, PostgresTable
from kinbits.index.engines.registry import register_engine
from kinbits.index.filters.binding import bind
from kinbits.index.filters.column_types import Kind
from kinbits.index.filters.expression import Expression
from kinbits.index.filters.where import Where, parse_where
from kinbits.index.hits import Hits
from kinbits.index.items import (
    Encoder,
    Metadata,
    adopted,
    folder_of,
    require_codes,
    require_model,
    warn_of_unknown_codes,
)
from kinbits.index.linked_model import encoder_of
from kinbits.index.new_items import opened_items, read_items
from kinbits.index.query.request import SearchRequest
from kinbits.index.store.columns import as_columns
from kinbits.index.store.ids import (
    Ids,
    as_ids,
    concatenate,
    decode_ids,
    duplicate_ids_error,
    kind_of,
    missing_ids_error,
)
from kinbits.index.store.state import State


@register_engine("postgres", schemes=("postgresql", "postgres"))
class PostgresIndex(ServerIndex):
    """A table in PostgreSQL with pgvector, or tables on several servers; transactions, many programs, exact by default.

    Location: ``postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE?table=NAME``. Other parameters are those of
    PostgreSQL, such as ``sslmode=require``, ``host=FOLDER`` of a socket, or ``options=-csearch_path%3DSCHEMA``.

    Options:
        ids: Kind of the ids, ``"int"`` or ``"str"`` (``"int"``).
        index: ``"exact"`` compares with all codes. ``"HNSW"`` follows a graph, approximately; see `recall`. With a
            radius, and where the graph finds fewer than k items, all codes are compared. The first addition builds
            the graph at once, faster per item than later ones (``"exact"``).
        m: Links per node of the graph (16).
        ef_construction: Candidates per item while the graph is built (64).
        ef_search: Candidates per query, 1000 at most; `open_index` takes it, too (100).
        shards: Addresses of further servers, over which the items are spread by a hash of their ids. `open_index`
            finds them itself; give them there if they have moved or need passwords, which are not stored (none).
        timeout: Maximum seconds to connect (10).

    Differences: One writer at a time; others wait for the end of its transaction. A metadata column is a column of SQL
    and has one type: bigint, double precision, text or boolean. It appears with its first value. On several servers, a
    search during a change may see it on some of them only; see `add` for a server that fails. The code is the column
    ``binary_code``, the id is ``id``, and the facts about all indexes of a schema are in ``kinbits_indexes``.
    """

    supports = Supports(either_ids=False, save=False, asymmetric=False)
    _product = "PostgreSQL"
    packages = ("psycopg",)
    remedy = "pip install 'kinbits[postgres]'"

    def __init__(self, shards: PostgresShards, options: PostgresOptions, model: Encoder | None) -> None:
        """Not for users: see `create_index` and `open_index`."""
        self._shards, self._options = shards, options
        self._state = _state_of(shards.first.facts)
        self._model = encoder_of(model, self._state)
        require_model(self._model, self._state)
        if shards.first.facts.index != EXACT:
            self.supports = replace(self.supports, exact=False, exact_filters=False)

    @classmethod
    def create(
        cls, location: PathLike, *, bits: int | None = None, model: Encoder | None = None, **options: Any
    ) -> Self:
        """Create an empty table, and pgvector's extension if the database lacks it; for options see the class.

        Raises:
            UsageError: If the location, length or an option is invalid, or the table exists.
            PlatformError: If psycopg or pgvector is missing, or a server cannot be reached.
        """
        chosen = read_options(PostgresOptions, options, cls.name)
        length = read_length(bits, model, cls.name)
        first = PostgresAddress.from_uri(str(location))
        others = [PostgresAddress.from_uri(one, first.table) for one in chosen.shards]
        if len({one.uri for one in (first, *others)}) <= len(others):
            raise UsageError(f"two of the addresses of {first.uri} and its shards are the same; give each server once")
        shards = PostgresShards([cls._table(one, chosen) for one in (first, *others)])
        facts = TableFacts(
            length,
            chosen.ids,
            chosen.index,
            chosen.m,
            chosen.ef_construction,
            uuid.uuid4().hex,
            fingerprint=model.fingerprint if model else None,
            model=folder_of(model),
        )
        with shards.transaction():
            for number, table in enumerate(shards.tables):
                known = () if number else tuple(one.uri for one in others)
                table.create(replace(facts, number=number, shards=known))
        return cls(shards, chosen, model)

    @classmethod
    def open(cls, location: PathLike, *, model: Encoder | None = None, **options: Any) -> Self:
        """Open an index that `create_index` created.

        Raises:
            ArtefactError: If there is no table, kinbits did not create it, or it has another model or length.
            UsageError: If the location is invalid, or an option cannot change.
            PlatformError: If psycopg is missing, or a server cannot be reached.
        """
        for name in options:
            if name in FIXED:
                raise UsageError(f"{name} cannot change after creation; create a new index")
        chosen = read_options(PostgresOptions, options, cls.name)
        first = cls._table(PostgresAddress.from_uri(str(location)), chosen)
        facts = first.read_facts()
        if facts.number:
            raise ArtefactError(f"the table at {first.place} is one part of an index; open it by its first address")
        if chosen.shards and len(chosen.shards) != len(facts.shards):
            raise UsageError(f"the index has {len(facts.shards)} further servers; shards names {len(chosen.shards)}")
        table = PostgresAddress.from_uri(str(location)).table
        others = [PostgresAddress.from_uri(one, table) for one in chosen.shards or facts.shards]
        shards = PostgresShards([first, *(cls._table(one, chosen) for one in others)])
        for number, part in enumerate(shards.tables):
            found = facts if part is first else part.read_facts()
            if (found.name, found.number) != (facts.name, number):
                raise ArtefactError(
                    f"the table at {part.place} is not part {number} of this index; name its servers in order: shards="
                )
            part.check_codes()
        return cls(shards, chosen, model)

    @classmethod
    def _table(cls, address: PostgresAddress, options: PostgresOptions) -> PostgresTable:
        return PostgresTable(PostgresConnection(address, options.timeout), options.ef_search)

    def __len__(self) -> int:
        return self.count()

    def add(self, items: Any, ids: Any = None, metadata: Metadata | None = None, *, upsert: bool = False) -> Self:
        """Add items, all or none; see `kinbits.index.Index.add`, and the class for differences.

        If one of several servers fails in the moment of the commit, some of them may have the items: the error says so,
        and adding the items again with ``upsert=True`` completes it.

        Raises:
            UsageError: If ids exist, or a column cannot hold the values.
            DataError: If codes, ids or metadata do not fit each other or the index.
            ArtefactError: If the items belong to another model.
            PlatformError: If PostgreSQL fails.
        """
        if isinstance(items, CodesFile):
            require_codes(items, self._state)
        items = opened_items(items)
        read = read_items(items, ids, metadata, self._model, self._state)
        if not len(read.codes):
            return self
        if read.ids is not None:
            self._require_ids(read.ids)
        with self._change():
            known = adopted(self._state, items, self._model)
            if known.fingerprint != self._state.fingerprint:
                self._adopt(known)
            given = self._shards.next_ids(len(read.codes)) if read.ids is None else read.ids
            if not upsert and len(present := self._shards.present(given)):
                raise duplicate_ids_error(sorted(decode_ids(present).tolist()))
            self._shards.insert(given, read.codes, read.columns, upsert=upsert)
        self._state, self._model = known, encoder_of(self._model, known)
        return self

    def update(self, ids: Any, metadata: Metadata) -> Self:
        """Change metadata of items, all or none; see `kinbits.index.Index.update`."""
        wanted = self._require_ids(as_ids(ids))
        columns = as_columns(metadata, len(wanted))
        with self._change():
            missing = np.setdiff1d(wanted, self._shards.present(wanted))
            if missing.size:
                raise missing_ids_error(missing)
            self._shards.update(wanted, columns)
        return self

    def delete(self, ids: Any = None, *, where: Where | None = None) -> Self:
        """Remove items, all or none; see `kinbits.index.Index.delete`.

        Raises:
            UsageError: If neither ids nor a filter or both are given, or the filter cannot be used, or is empty.
            DataError: If an id is not in the index.
            PlatformError: If PostgreSQL fails.
        """
        parsed, given = what_to_delete(ids, where)
        wanted = None if given is None else np.unique(given)
        if wanted is not None:
            self._require_ids(wanted)
        with self._change():
            if wanted is None:
                meets = self._condition(parsed)
                for table in self._shards.tables:
                    table.delete(meets)
                return self
            gone = [table.delete(table.among(wanted[rows])) for table, rows in self._shards.parts(wanted)]
            missing = np.setdiff1d(wanted, concatenate(gone)) if wanted.size else wanted
            if missing.size:
                raise missing_ids_error(missing)
        return self

    def count(self, where: Where | None = None, *, ids: Any = None) -> int:
        """Count the items that meet a filter, or have some ids; all without either.

        Raises:
            UsageError: If the filter cannot be used.
        """
        if ids is not None:
            return len(self._shards.present(self._require_ids(np.unique(as_ids(ids)))))
        meets = self._condition(parse_where(where))
        return sum(self._shards.each(lambda table: table.count(meets)))

    def ids(self, where: Where | None = None, *, limit: int | None = None) -> NDArray[Any]:
        """Return the ids of the items that meet a filter, ascending; see `kinbits.index.Index.ids`."""
        meets = self._condition(parse_where(where))
        most = None if limit is None else hamming.check_count(limit, "limit")
        found = concatenate(self._shards.each(lambda table: table.ids(meets, most)))
        return decode_ids(np.sort(found[:most]))

    def _found(self, request: SearchRequest) -> list[Hits]:
        within = None if request.radius is None else min(int(request.radius), self.bits)
        kinds = self._shards.first.columns()
        meets = condition(None if request.where is None else bind(request.where, kinds), kinds)
        found = self._shards.search(Nearest(request.codes, request.k, within, meets), exact=self.supports.exact)
        return [self._hits(one, list(kinds)) for one in found]

    def _measured(self, k: int, sample: int) -> float:
        return self._shards.recall(k, sample)

    def save(self, path: PathLike) -> None:
        """Not supported.

        Raises:
            UsageError: If it is called.
        """
        raise UsageError("items in PostgreSQL cannot be saved to a folder; use pg_dump, with the table kinbits_indexes")

    def info(self) -> dict[str, Any]:
        """Describe the index in plain values; ``recall@10`` is what `recall` measured last."""
        first, kinds = self._shards.first, self._shards.first.columns()
        return {
            "path": first.place,
            "engine": self.name,
            "items": len(self),
            "bits": self.bits,
            "fingerprint": self.fingerprint,
            "model": self._state.model_folder,
            "ids": first.facts.ids,
            "columns": list(kinds),
            "column_types": kinds,
            "index": first.facts.index,
            "shards": [table.place for table in self._shards.tables[1:]],
            f"recall@{MEASURED_K}": self._recall,
        }

    def __repr__(self) -> str:
        servers = "" if len(self._shards.tables) == 1 else f", {len(self._shards.tables)} servers"
        place = f"{self._shards.first.place}{servers}"
        return f"PostgresIndex({len(self)} items, {self.bits} bits, {place}, {self._exactness()})"

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Change all tables in one transaction, while other writers wait; first learn what they have changed."""
        with self._shards.transaction():
            state = _state_of(self._shards.first.read_facts(lock=True))
            require_model(self._model, state)
            self._state = state
            yield

    def _adopt(self, known: State) -> None:
        """Store the model of the first items that name one."""
        if self._shards.first.count(write("TRUE")):
            warn_of_unknown_codes(str(known.fingerprint))
        facts = self._shards.first.facts
        self._shards.first.write_facts(replace(facts, fingerprint=known.fingerprint, model=known.model_folder))

    def _require_ids(self, ids: Ids) -> Ids:
        """Return ids if they fit the index."""
        values, times = np.unique(ids, return_counts=True)
        if len(values) < len(ids):
            raise DataError(f"id {decode_ids(values[times > 1]).tolist()[0]!r} is given twice; ids must be unique")
        known = self._shards.first.facts.ids
        if ids.size and kind_of(ids) != known:
            raise UsageError(
                f"this index has {known} ids, but {kind_of(ids)} ids were given; use {known} ids, "
                f"or create an index with create_index(..., ids='{kind_of(ids)}')"
            )
        return ids

    def _condition(self, where: Expression | None) -> Sql:
        kinds: dict[str, Kind] = {} if where is None else self._shards.first.columns()
        return condition(None if where is None else bind(where, kinds), kinds)

    def _hits(self, found: Found, columns: list[str]) -> Hits:
        ids, near = found
        return Hits(
            decode_ids(ids),
            near,
            lambda some: [
                dict(zip(columns, row, strict=True)) if row else {} for row in self._shards.rows(ids[some], columns)
            ],
            lambda some: self._codes(ids[some]),
            columns=columns,
        )

    def _codes(self, ids: Ids) -> Codes:
        width = hamming.code_width(self.bits)
        raw = b"".join(row[0] if row else bytes(width) for row in self._shards.rows(ids, [CODE]))
        return np.frombuffer(raw, np.uint8).reshape(len(ids), width)


def _state_of(facts: TableFacts) -> State:
    return State(facts.bits, facts.fingerprint, model_folder=facts.model)
