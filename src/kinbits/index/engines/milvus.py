"""Milvus: an index on a server or cluster, or in a local file with Milvus Lite."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np

from kinbits import hamming
from kinbits._util import full_path
from kinbits.encoding import CodesFile, read_codes, shards_of_folder
from kinbits.errors import ArtefactError, PlatformError, UsageError
from kinbits.hamming import Codes
from kinbits.index.engines.base import MEASURED_K, PathLike, ServerIndex, Supports, read_length, read_options
from kinbits.index.engines.milvus_address import MilvusAddress, MilvusConnection
from kinbits.index.engines.milvus_filter import FilterWriter
from kinbits.index.engines.milvus_options import (
    EXACT,
    FIXED,
    FORMAT,
    GRAPH,
    LISTS,
    MilvusOptions,
    read_facts,
    searched_with,
)
from kinbits.index.engines.milvus_rows import CODE, batched, check_names, from_rows, to_rows
from kinbits.index.engines.milvus_search import MOST, Searcher, measured_recall
from kinbits.index.engines.registry import register_engine
from kinbits.index.filters.binding import bind
from kinbits.index.filters.column_types import Kind, joined, kind_of_values
from kinbits.index.filters.expression import Expression, comparisons
from kinbits.index.hits import Hits
from kinbits.index.items import Encoder, Metadata, require_codes, require_model
from kinbits.index.new_items import read_items
from kinbits.index.query.request import SearchRequest
from kinbits.index.store.ids import IdKind, Ids, as_ids, decode_ids, duplicate_ids_error, kind_of, missing_ids_error
from kinbits.index.store.state import State

_ROWS = 5_000  # items of a request; more are no faster
_WIDER = {LISTS: "nprobe", GRAPH: "ef_search"}  # what finds more


@register_engine("milvus", schemes=("milvus", "milvus-lite"))
class MilvusIndex(ServerIndex):
    """A collection of binary vectors in Milvus: many machines, replication, many writers; exact by default.

    Location: ``milvus://[USER:PASSWORD@]HOST:PORT/COLLECTION``, or ``milvus-lite:FILE.db[#COLLECTION]``.

    Options:
        ids: Kind of the ids, ``"int"`` or ``"str"`` (``"int"``).
        index: ``"BIN_FLAT"`` searches all codes, exactly. ``"BIN_IVF_FLAT"`` searches some lists, approximately;
            results with a radius or a filter may be incomplete, with a warning. ``"HNSW"`` follows a graph, in the same
            way; it needs a server of version 2.6 or later. See `recall` (``"BIN_FLAT"``).
        nlist: Number of lists of ``BIN_IVF_FLAT`` (1024).
        nprobe: Number of lists that a query reads; `open_index` takes it, too (64).
        m: Links per node of ``HNSW`` (16).
        ef_construction: Candidates per item while ``HNSW`` is built (64).
        ef_search: Candidates per query of ``HNSW``; `open_index` takes it, too (100).
        consistency: ``"Strong"``: a search sees every finished change, and waits for it (0.2 to 0.4 s on a server).
            ``"Session"``: it sees additions of this client; deletions may take a moment. ``"Bounded"`` and
            ``"Eventually"``: fast, without the changes of the last seconds. `open_index` takes it, too (``"Strong"``).
        token: ``"USER:PASSWORD"`` or an API key, instead of those in the URI.
        secure: Connect with TLS.
        timeout: Maximum seconds of a request (60).

    Differences: Items need ids, because several writers would choose the same ones. More than 5,000 items are added in
    several requests, and ids are looked up first without ``upsert=True``. A search returns at most 16,384 hits. Numbers
    cannot be compared with text, and ``contains`` is missing. Hits have only columns with a value in some hit.
    Metadata are dynamic fields, the code is the field ``binary_code``, the id is ``id``. Codes whose length is not a
    multiple of 8 are padded with zeros.
    """

    supports = Supports(contains=False, either_ids=False, automatic_ids=False, save=False, asymmetric=False)
    _product = "Milvus"
    packages = ("pymilvus",)
    remedy = "pip install 'kinbits[milvus]', or 'kinbits[milvus-lite]' for local files"

    def __init__(
        self, connection: MilvusConnection, facts: dict[str, Any], options: MilvusOptions, model: Encoder | None
    ) -> None:
        """Not for users: see `create_index` and `open_index`."""
        self._state = State(facts["bits"], facts["fingerprint"])
        require_model(model, self._state)
        self._connection, self._facts, self._options, self._model = connection, facts, options, model
        self._expressions = FilterWriter(lite=connection.address.lite)
        self._kinds: dict[str, Kind] = {}  # of the columns of earlier filters
        exact = facts["index"] == EXACT
        if not exact:
            self.supports = replace(self.supports, exact=False, exact_filters=False, exact_radius=False)
        self._searcher = Searcher(self._ask, self._expressions, exact, searched_with(facts["index"], options))

    @classmethod
    def create(
        cls, location: PathLike, *, bits: int | None = None, model: Encoder | None = None, **options: Any
    ) -> Self:
        """Create an empty collection; for locations and options see the class.

        Raises:
            UsageError: If the location, length or an option is invalid, or the collection exists.
            PlatformError: If pymilvus is missing, or Milvus cannot be reached or is too old for an option.
        """
        chosen = read_options(MilvusOptions, options, cls.name)
        length = read_length(bits, model, cls.name)
        connection = cls._connect(location, chosen)
        chosen.require_server(connection)
        if connection.call("has_collection"):
            raise UsageError(f"the collection {connection.address.uri} exists; use open_index, or choose another name")
        facts = {
            "format": FORMAT,
            "bits": length,
            "fingerprint": model.fingerprint if model else None,
            "index": chosen.index,
            "nlist": chosen.nlist,
        }
        index = cls(connection, facts, chosen, model)
        index._make("str" if chosen.ids == "str" else "int")
        return index

    @classmethod
    def open(cls, location: PathLike, *, model: Encoder | None = None, **options: Any) -> Self:
        """Open a collection that `create_index` created.

        Raises:
            ArtefactError: If there is no collection, kinbits did not create it, or it has another model.
            UsageError: If the location is invalid, or an option cannot change.
            PlatformError: If pymilvus is missing, or Milvus cannot be reached.
        """
        for name in options:
            if name in FIXED:
                raise UsageError(f"{name} cannot change after creation; create a new collection")
        chosen = read_options(MilvusOptions, options, cls.name)
        connection = cls._connect(location, chosen)
        if not connection.call("has_collection"):
            raise ArtefactError(f"there is no collection at {connection.address.uri}; create one with create_index")
        facts = read_facts(connection)
        connection.call("load_collection")
        return cls(connection, facts, chosen, model)

    @classmethod
    def _connect(cls, location: PathLike, options: MilvusOptions) -> MilvusConnection:
        parsed = MilvusAddress.from_uri(str(location), secure=options.secure)
        return MilvusConnection(parsed, token=options.token, timeout=options.timeout)

    def __len__(self) -> int:
        return self._count("")

    def _count(self, expression: str) -> int:
        return int(self._query(expression, ["count(*)"])[0]["count(*)"])

    def add(self, items: Any, ids: Any = None, metadata: Metadata | None = None, *, upsert: bool = False) -> Self:
        """Add items; see `kinbits.index.Index.add`, and the class for differences.

        Raises:
            UsageError: If ids are missing or exist, or Milvus does not accept the name of a column.
            DataError: If codes, ids or metadata do not fit each other or the collection.
            PlatformError: If Milvus fails; the message says how many items were added.
        """
        if isinstance(items, CodesFile):
            require_codes(items, self._state)
        read = read_items(items, ids, metadata, self._model, State(self.bits))
        codes, given, columns = read.codes, read.ids, read.columns
        if not len(codes):
            return self
        if given is None:
            raise UsageError("Milvus has many writers and cannot choose ids; pass ids=")
        check_names(given, columns, lite=self._connection.address.lite)
        self._require_kind(kind_of(given))
        if not upsert and len(present := self._present(given)):
            raise duplicate_ids_error(sorted(present))
        self._insert(to_rows(codes, given, columns), upsert=upsert)
        return self

    def add_files(self, files: PathLike | Sequence[PathLike]) -> Self:
        """Add codes of files, with one file at a time in memory; items replace those of the same ids.

        If it fails, call it again with the same files: what was added before is then written once more, not doubled.

        Args:
            files: Files of codes that `kinbits.encoding.read_codes` reads, or folders of `kinbits.scale.encode`.

        Raises:
            ArtefactError: If a file is damaged, or belongs to another model; the files before it have been added.
            DataError: If codes, ids or metadata do not fit the collection.
            PlatformError: If Milvus fails.
        """
        for one in map(full_path, [files] if isinstance(files, (str, os.PathLike)) else files):
            for file in shards_of_folder(one) if one.is_dir() else [one]:
                self.add(read_codes(file), upsert=True)
        return self

    def delete(self, ids: Any) -> Self:
        """Remove items.

        Raises:
            DataError: If an id is not in the index.
            PlatformError: If Milvus fails.
        """
        wanted = np.unique(as_ids(ids))
        if not wanted.size:
            return self
        self._require_kind(kind_of(wanted))
        missing = sorted(set(decode_ids(wanted).tolist()) - set(self._present(wanted)))
        if missing:
            raise missing_ids_error(missing)
        self._remove(decode_ids(wanted).tolist())
        return self

    def _found(self, request: SearchRequest) -> list[Hits]:
        expression = self._expressions.filter(self._bound(request.where))
        if request.k is None:
            assert request.radius is not None
            found = self._searcher.ball(request.codes, min(int(request.radius), self.bits), expression)
        else:
            within = None if request.radius is None else min(int(request.radius), self.bits)
            found = (
                self._searcher.nearest(request.codes, self._most(request.k), within, expression) if request.k else []
            )
            found = found or [(np.zeros(0, np.int64), np.zeros(0, np.int32))] * len(request.codes)
        if not self.supports.exact:
            self._warn_if_short(request, expression, min((len(ids) for ids, _ in found), default=0))
        return [self._hits(ids, near) for ids, near in found]

    def _warn_if_short(self, request: SearchRequest, expression: str, fewest: int) -> None:
        """Warn of approximate answers that lack items for sure, or may do so with nobody noticing."""
        remedy = f"raise {_WIDER[self._facts['index']]}, or use index='{EXACT}' for all of them"
        if request.radius is not None:
            warnings.warn(f"an approximate search by radius may lack items; {remedy}", stacklevel=4)
        elif request.k is not None and fewest < request.k and len(request.codes):
            there = min(request.k, self._count(expression))
            if fewest < there:
                warnings.warn(f"an approximate search found {fewest} of {there} items; {remedy}", stacklevel=4)

    def _measured(self, k: int, sample: int) -> float:
        def find(codes: Codes, k: int) -> list[Any]:
            return [near for _, near in self._searcher.nearest(codes, min(k, MOST), None, "")]

        return measured_recall(self._pages, find, k, sample, len(self))

    def _pages(self) -> Iterator[Codes]:
        """Read all codes in the order of their ids."""
        after = ""
        while rows := self._query(after, ["id", CODE], limit=MOST):
            yield from_rows(rows, hamming.code_width(self.bits))
            after = self._expressions.ids_above(max(row["id"] for row in rows))

    def save(self, path: PathLike) -> None:
        """Not supported.

        Raises:
            UsageError: If it is called.
        """
        raise UsageError("items in Milvus cannot be saved to a folder; use the backup tools of Milvus")

    def info(self) -> dict[str, Any]:
        """Describe the collection in plain values; ``columns`` are those of a sample of items."""
        return {
            "path": str(self._connection.address.uri),
            "engine": self.name,
            "items": len(self),
            "bits": self.bits,
            "fingerprint": self.fingerprint,
            "ids": self._kind(),
            "columns": list(self._some_columns()),
            "column_types": self._some_columns(),
            "index": self._facts["index"],
            "consistency": self._options.consistency,
            f"recall@{MEASURED_K}": self._recall,
        }

    def __repr__(self) -> str:
        return f"MilvusIndex({len(self)} items, {self.bits} bits, {self._connection.address.uri}, {self._exactness()})"

    def _make(self, kind: IdKind) -> None:
        """Create the collection, with ids of one kind."""
        from pymilvus import DataType, MilvusClient

        facts = {"kinbits": self._facts}
        schema = MilvusClient.create_schema(enable_dynamic_field=True, description=json.dumps(facts))
        text = {"max_length": 1024} if kind == "str" else {}
        schema.add_field("id", DataType.VARCHAR if text else DataType.INT64, is_primary=True, **text)
        schema.add_field(CODE, DataType.BINARY_VECTOR, dim=8 * hamming.code_width(self.bits))
        parameters = MilvusClient.prepare_index_params()
        parameters.add_index(
            CODE, index_type=self._options.index, metric_type="HAMMING", params=self._options.built_with()
        )
        level = self._options.consistency
        self._connection.call("create_collection", schema=schema, index_params=parameters, consistency_level=level)

    def _kind(self) -> IdKind:
        fields = {field["name"]: field for field in self._connection.call("describe_collection")["fields"]}
        return "int" if int(fields["id"]["type"]) == 5 else "str"

    def _require_kind(self, kind: IdKind) -> None:
        known = self._kind()
        if kind != known:
            raise UsageError(
                f"this collection has {known} ids, but {kind} ids were given; use {known} ids, "
                f"or create a collection with create_index(..., ids='{kind}')"
            )

    def _most(self, k: int) -> int:
        if k > MOST and len(self) > MOST:
            raise UsageError(f"k={k}: Milvus returns at most {MOST:,} hits per query; use a smaller k")
        return min(k, MOST)

    def _insert(self, rows: Iterator[dict[str, Any]], *, upsert: bool) -> None:
        done = 0
        self._kinds.clear()
        for batch in batched(rows, _ROWS):
            try:
                self._connection.call("upsert" if upsert else "insert", batch)
            except PlatformError as error:
                raise PlatformError(f"{error} ({done} items were added before)") from None
            done += len(batch)

    def _remove(self, ids: Sequence[Any]) -> None:
        # with an own expression: pymilvus writes ids like Python, and Milvus reads some of them differently
        for part in batched(iter(ids), _ROWS):
            self._connection.call("delete", filter=self._expressions.ids(part))

    def _present(self, ids: Ids) -> list[Any]:
        """Return the ids that the collection holds."""
        found: list[Any] = []
        for part in batched(iter(decode_ids(ids).tolist()), _ROWS):
            found += [row["id"] for row in self._query(self._expressions.ids(part), ["id"])]
        return found

    def _query(self, expression: str, fields: list[str], **options: Any) -> list[dict[str, Any]]:
        level = self._options.consistency
        return list(
            self._connection.call("query", filter=expression, output_fields=fields, consistency_level=level, **options)
        )

    def _ask(
        self, codes: list[bytes], expression: str, limit: int, parameters: dict[str, Any]
    ) -> list[list[tuple[Any, float]]]:
        answers = self._connection.call(
            "search",
            codes,
            filter=expression,
            limit=limit,
            search_params={"metric_type": "HAMMING", "params": parameters},
            consistency_level=self._options.consistency,
        )
        return [[(hit["id"], hit["distance"]) for hit in answer] for answer in answers]

    def _hits(self, ids: Ids, near: Any) -> Hits:
        names = decode_ids(ids)
        return Hits(
            names,
            near,
            lambda some: self._metadata(names[some].tolist()),
            lambda some: self._codes(names[some].tolist()),
        )

    def _codes(self, ids: list[Any]) -> Codes:
        rows: dict[Any, Any] = {}
        for part in batched(iter(ids), _ROWS):
            rows |= {row["id"]: row for row in self._query(self._expressions.ids(part), ["id", CODE])}
        return from_rows([rows[id_] for id_ in ids], hamming.code_width(self.bits))

    def _metadata(self, ids: list[Any]) -> list[dict[str, Any]]:
        rows = {}
        for part in batched(iter(ids), _ROWS):
            for row in self._query(self._expressions.ids(part), ["*"]):
                rows[row["id"]] = {name: value for name, value in row.items() if name not in ("id", CODE)}
        names = list(dict.fromkeys(name for id_ in ids for name in rows.get(id_, ())))
        return [{name: rows.get(id_, {}).get(name) for name in names} for id_ in ids]

    def _bound(self, where: Expression | None) -> Expression | None:
        """Read the values of a filter by the types of its columns."""
        if where is None:
            return None
        try:
            return bind(where, self._kinds_in(where))
        except UsageError:
            self._kinds.clear()  # another writer may have added values of other types since
            return bind(where, self._kinds_in(where))

    def _kinds_in(self, where: Expression) -> dict[str, Kind]:
        """Return the types of a filter's columns, without those in which no item has a value."""
        for column in {one.column for one in comparisons(where)} - self._kinds.keys():
            kinds = [k for k, that in self._expressions.types(column).items() if self._query(that, ["id"], limit=1)]
            if not kinds:
                return {**self._some_columns(), **self._kinds}  # `bind` refuses this column, and names others
            self._kinds[column] = joined(kinds)
        return self._kinds

    def _some_columns(self) -> dict[str, Kind]:
        """Return the columns of some items, with the types of their values."""
        rows = self._query("", ["*"], limit=100)
        names = sorted({name for row in rows for name in row} - {"id", CODE})
        return {name: kind_of_values(row.get(name) for row in rows) for name in names}
