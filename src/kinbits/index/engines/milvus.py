"""Milvus: the same calls on a server or cluster, or in a local file through Milvus Lite."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np

from kinbits import hamming
from kinbits.errors import ArtefactError, PlatformError, UsageError, unknown_name
from kinbits.hamming import Codes
from kinbits.index.engines.base import EngineIndex, PathLike, Supports, read_options
from kinbits.index.engines.milvus_address import MilvusAddress, MilvusConnection
from kinbits.index.engines.milvus_filter import FilterWriter
from kinbits.index.engines.milvus_rows import CODE, batched, check_names, from_rows, to_rows
from kinbits.index.engines.milvus_search import MOST, Searcher
from kinbits.index.engines.registry import register_engine
from kinbits.index.filters.binding import bind
from kinbits.index.filters.column_types import Kind, joined, kind_of_values
from kinbits.index.filters.expression import Expression, comparisons
from kinbits.index.filters.where import Where
from kinbits.index.hits import BatchHits, Hits
from kinbits.index.items import Encoder, Metadata, read_bits, read_items, require_model
from kinbits.index.query.request import SearchRequest, check_limits
from kinbits.index.query.rerank import reranked
from kinbits.index.store.ids import IdKind, Ids, as_ids, decode_ids, duplicate_ids_error, kind_of, missing_ids_error
from kinbits.index.store.state import State

_FORMAT = 1
_ROWS = 5_000  # of one request
_EXACT, _APPROXIMATE = "BIN_FLAT", "BIN_IVF_FLAT"
_LEVELS = ("Strong", "Session", "Bounded", "Eventually")
_FIXED = ("ids", "index", "nlist")


@dataclass(frozen=True)
class MilvusOptions:
    """Options of `MilvusIndex`."""

    ids: str = "int"
    index: str = _EXACT
    nlist: int = 1024
    nprobe: int = 64
    consistency: str = "Strong"
    token: str | None = None
    secure: bool = False
    timeout: int = 60

    def __post_init__(self) -> None:
        for name, known in (("ids", ("int", "str")), ("index", (_EXACT, _APPROXIMATE)), ("consistency", _LEVELS)):
            if getattr(self, name) not in known:
                raise unknown_name(f"value of {name}", str(getattr(self, name)), known)


@register_engine("milvus", schemes=("milvus", "milvus-lite"))
class MilvusIndex(EngineIndex):
    """A collection of binary vectors in Milvus: many machines, replication, many writers; exact by default.

    Place: ``milvus://[USER:PASSWORD@]HOST:PORT/COLLECTION``, or ``milvus-lite:FILE.db[#COLLECTION]``.

    Options:
        ids: Which kind the collection takes, ``"int"`` or ``"str"``; Milvus must know when it makes it (``"int"``).
        index: ``"BIN_FLAT"`` searches all codes: exact. ``"BIN_IVF_FLAT"`` searches some: approximate, and balls and
            filtered answers may be short (``"BIN_FLAT"``).
        nlist: How many lists ``BIN_IVF_FLAT`` makes (1024).
        nprobe: How many of them a query reads; may be given to `open_index` too (64).
        consistency: ``"Strong"``: every search sees every change that was finished before it, and waits for that
            (0.2 to 0.4 s on a server). ``"Session"``: it sees what this client added; deletions may take a
            moment. ``"Bounded"`` and ``"Eventually"``: fast, but changes of the last seconds may be missing. May
            be given to `open_index` too (``"Strong"``).
        token: ``"USER:PASSWORD"`` or an API key, instead of those in the URI.
        secure: Connect by TLS.
        timeout: Seconds that one request may take (60).

    What Milvus does otherwise: items need ids (several writers would hand out the same ones); an addition of
    more than 5,000 items is several requests, and the ids of each are looked up first unless ``upsert=True``;
    k and the items of a ball are at most 16,384; numbers and text do not compare; ``contains`` is not there;
    hits show the columns that some hit has a value in.
    Metadata are dynamic fields of the collection, the code is the field ``binary_code``, the id is ``id``; codes
    whose length is no multiple of 8 are padded with zeros.
    """

    supports = Supports(contains=False, either_ids=False, automatic_ids=False, save=False)
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
        self._kinds: dict[str, Kind] = {}  # of the columns that filters were seen to ask for
        exact = facts["index"] == _EXACT
        if not exact:
            self.supports = replace(self.supports, exact=False, exact_filters=False, exact_radius=False)
        parameters = {} if exact else {"nprobe": options.nprobe}
        self._searcher = Searcher(self._ask, self._expressions, exact, parameters)

    @classmethod
    def create(cls, place: PathLike, *, bits: int | None = None, model: Encoder | None = None, **options: Any) -> Self:
        """Make an empty collection; for places and options see the class.

        Raises:
            UsageError: for a wrong place, length or option, or a collection that exists.
            PlatformError: If pymilvus is missing, or Milvus cannot be reached.
        """
        chosen = read_options(MilvusOptions, options, cls.name)
        length = read_bits(bits, model)
        connection = cls._connect(place, chosen)
        if connection.address.lite and chosen.index != _EXACT:
            raise UsageError(f"Milvus Lite searches exactly only: index='{_EXACT}'; '{chosen.index}' needs a server")
        if connection.call("has_collection"):
            raise UsageError(
                f"a collection lies at {connection.address.uri} already; open_index it, or choose another name"
            )
        facts = {
            "format": _FORMAT,
            "bits": length,
            "fingerprint": model.fingerprint if model else None,
            "index": chosen.index,
            "nlist": chosen.nlist,
        }
        index = cls(connection, facts, chosen, model)
        index._make("str" if chosen.ids == "str" else "int")
        return index

    @classmethod
    def open(cls, place: PathLike, *, model: Encoder | None = None, **options: Any) -> Self:
        """Open a collection that `create_index` made.

        Raises:
            ArtefactError: If there is none, or it is not ours, or of another model.
            UsageError: for a wrong place or an option that cannot change.
            PlatformError: If pymilvus is missing, or Milvus cannot be reached.
        """
        for name in options:
            if name in _FIXED:
                raise UsageError(f"{name} is fixed when the collection is made; make a new one to change it")
        chosen = read_options(MilvusOptions, options, cls.name)
        connection = cls._connect(place, chosen)
        if not connection.call("has_collection"):
            raise ArtefactError(f"there is no collection at {connection.address.uri}; make one with create_index")
        facts = _facts(connection)
        connection.call("load_collection")
        return cls(connection, facts, chosen, model)

    @classmethod
    def _connect(cls, place: PathLike, options: MilvusOptions) -> MilvusConnection:
        parsed = MilvusAddress.from_uri(str(place), secure=options.secure)
        return MilvusConnection(parsed, token=options.token, timeout=options.timeout)

    @property
    def bits(self) -> int:
        """Code length."""
        return self._state.bits

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of the model that makes the codes; None if not known."""
        return self._state.fingerprint

    def __len__(self) -> int:
        return int(self._query("", ["count(*)"])[0]["count(*)"])

    def add(self, items: Any, ids: Any = None, metadata: Metadata | None = None, *, upsert: bool = False) -> Self:
        """Add items; see `kinbits.index.Index.add`, and the class for what differs.

        Raises:
            UsageError: If ids are missing or exist, or a column has a name that Milvus cannot hold.
            DataError: If codes, ids or metadata do not fit each other or the collection.
            PlatformError: If Milvus fails; says how many items were added.
        """
        codes, given, columns = read_items(items, ids, metadata, self._model, self.bits)
        if not len(codes):
            return self
        if given is None:
            raise UsageError("Milvus has many writers and numbers no items by itself; pass ids=")
        check_names(given, columns, lite=self._connection.address.lite)
        self._require_kind(kind_of(given))
        if not upsert and len(present := self._present(given)):
            raise duplicate_ids_error(sorted(present))
        self._insert(to_rows(codes, given, columns), upsert=upsert)
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

    def search(
        self,
        query: Any = None,
        k: int | None = None,
        *,
        text: Any = None,
        radius: int | None = None,
        where: Where | None = None,
        rerank: int | bool = False,
    ) -> Hits | BatchHits:
        """Find the nearest items, or all within a radius; see `kinbits.index.Index.search`.

        Raises:
            UsageError: also for more hits than Milvus returns, and for filters that it does not know.
        """
        if rerank:
            k, radius = check_limits(k, radius)
            return reranked(query, text, self._model, rerank, k, partial(self.search, radius=radius, where=where))
        request = SearchRequest.from_query(query, text, self._model, self.bits, k=k, radius=radius, where=where)
        expression = self._expressions.filter(self._bound(request.where))
        if request.k is None:
            assert request.radius is not None
            found = self._searcher.ball(request.codes, min(request.radius, self.bits), expression)
        else:
            within = None if request.radius is None else min(request.radius, self.bits)
            found = (
                self._searcher.nearest(request.codes, self._most(request.k), within, expression) if request.k else []
            )
            found = found or [(np.zeros(0, np.int64), np.zeros(0, np.int32))] * len(request.codes)
        return request.result([self._hits(ids, near) for ids, near in found])

    def save(self, path: PathLike) -> None:
        """Not supported: the contents lie in Milvus.

        Raises:
            UsageError: always.
        """
        raise UsageError("the items lie in Milvus, not in a folder; back them up with Milvus's own tools")

    def info(self) -> dict[str, Any]:
        """Describe the collection in plain values; ``columns`` are those of some of its items."""
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
        }

    def __repr__(self) -> str:
        kind = "exact" if self.supports.exact else f"approximate, nprobe={self._options.nprobe}"
        return f"MilvusIndex({len(self)} items, {self.bits} bits, {self._connection.address.uri}, {kind})"

    def _make(self, kind: IdKind) -> None:
        """Make the collection, with ids of one kind."""
        from pymilvus import DataType, MilvusClient

        facts = {"kinbits": self._facts}
        schema = MilvusClient.create_schema(enable_dynamic_field=True, description=json.dumps(facts))
        text = {"max_length": 1024} if kind == "str" else {}
        schema.add_field("id", DataType.VARCHAR if text else DataType.INT64, is_primary=True, **text)
        schema.add_field(CODE, DataType.BINARY_VECTOR, dim=8 * hamming.code_width(self.bits))
        lists = {} if self._facts["index"] == _EXACT else {"nlist": self._facts["nlist"]}
        parameters = MilvusClient.prepare_index_params()
        parameters.add_index(CODE, index_type=self._facts["index"], metric_type="HAMMING", params=lists)
        level = self._options.consistency
        self._connection.call("create_collection", schema=schema, index_params=parameters, consistency_level=level)

    def _kind(self) -> IdKind:
        fields = {field["name"]: field for field in self._connection.call("describe_collection")["fields"]}
        return "int" if int(fields["id"]["type"]) == 5 else "str"

    def _require_kind(self, kind: IdKind) -> None:
        known = self._kind()
        if kind != known:
            raise UsageError(
                f"this collection was made for {known} ids, but {kind} ids were given; use these, "
                f"or make one with create_index(..., ids='{kind}')"
            )

    def _most(self, k: int) -> int:
        if k > MOST and len(self) > MOST:
            raise UsageError(f"k={k}: Milvus returns at most {MOST:,} hits for one query; take a smaller k")
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
        # by our own expression: pymilvus writes ids as Python does, and Milvus reads some of those otherwise
        for part in batched(iter(ids), _ROWS):
            self._connection.call("delete", filter=self._expressions.ids(part))

    def _present(self, ids: Ids) -> list[Any]:
        """Return those of the ids that the collection holds."""
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


def _facts(connection: MilvusConnection) -> dict[str, Any]:
    """Read what `create` wrote into the collection's description."""
    try:
        facts = json.loads(connection.call("describe_collection")["description"])["kinbits"]
        if facts["format"] != _FORMAT:
            raise ArtefactError(
                f"{connection.address.uri} has format {facts['format']}, known is {_FORMAT}; update kinbits"
            )
        hamming.code_width(facts["bits"])
        return {name: facts[name] for name in ("format", "bits", "fingerprint", "index", "nlist")}
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, ArtefactError):
            raise
        raise ArtefactError(
            f"the collection at {connection.address.uri} was not made by kinbits; make one with create_index"
        ) from None
