"""The index of both faiss engines."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from kinbits import hamming
from kinbits._util import full_path, require
from kinbits.errors import ArtefactError, PlatformError, UsageError
from kinbits.hamming import Codes
from kinbits.index.changes import reopen
from kinbits.index.engines.base import EngineIndex, PathLike, Supports, read_length, read_options
from kinbits.index.engines.faiss_graph import Graph, Searcher, Sidecar
from kinbits.index.engines.snapshot import IndexSnapshot
from kinbits.index.filters.where import Where
from kinbits.index.hits import BatchHits, Hits
from kinbits.index.index import Index
from kinbits.index.items import Encoder, Metadata
from kinbits.index.query.request import Distance, SearchRequest, check_limits
from kinbits.index.query.rerank import reranked
from kinbits.index.store.copies import new_folder
from kinbits.index.store.ids import Ids, decode_ids
from kinbits.index.store.lock import ChangeLock

_ITEMS = "items"  # folder of the exact index
_MEASURED_K = 10


class FaissIndex(EngineIndex):
    """Items in an exact index, candidates from faiss; see `FaissHnsw` and `FaissIvf`.

    Every change writes the faiss files completely, so add items in large batches. If a writer is killed meanwhile, the
    index warns when it is opened, and searches exactly until `rebuild`.
    """

    supports = Supports(exact=False)
    packages = ("faiss-cpu",)
    remedy = "pip install 'kinbits[faiss]'"
    _searcher: ClassVar[type[Searcher]]
    _options: ClassVar[type[Any]]
    _fixed: ClassVar[tuple[str, ...]]
    _retrain_at: ClassVar[int | None] = None

    def __init__(self, index: Index, location: Path | None, options: Any) -> None:
        """Not for users: see `create_index` and `open_index`."""
        self._index, self._location, self._chosen = index, location, options
        self._graph: Graph | None = None
        self._snapshot = IndexSnapshot(index)
        self._changing = ChangeLock()
        self._sidecar = b"" if location is None else Sidecar(location).raw()

    @classmethod
    def create(
        cls, location: PathLike | None = None, *, bits: int | None = None, model: Encoder | None = None, **options: Any
    ) -> Self:
        """Create an empty index in a new folder, or in memory; for options see the class.

        Raises:
            UsageError: If the length or an option is invalid, or the folder is not empty.
            PlatformError: If faiss is missing, or the folder cannot be written.
        """
        _faiss()
        chosen, length = read_options(cls._options, options, cls.name), read_length(bits, model, cls.name)
        if location is None:
            return cls(Index.create(bits=length, model=model), None, chosen)
        path = full_path(location)
        with new_folder(path) as aside:
            Index.create(aside / _ITEMS, bits=length, model=model)
            Sidecar(aside).write(cls.name, asdict(chosen), None)
        return cls(Index.open(path / _ITEMS, model=model), path, chosen)

    @classmethod
    def open(cls, location: PathLike, *, model: Encoder | None = None, **options: Any) -> Self:
        """Open an index in a folder; options of construction cannot change.

        Raises:
            ArtefactError: If there is no index, or it has another model or engine.
            UsageError: If an option cannot change.
            PlatformError: If faiss is missing.
        """
        _faiss()
        path = full_path(location)
        found = Sidecar(path).read(cls.name)
        for name in options:
            if name in cls._fixed:
                raise UsageError(f"{name} cannot change after creation; create a new index")
        kept = {name: value for name, value in found["options"].items() if value is not None}
        chosen = read_options(cls._options, {**kept, **options}, cls.name)
        index = cls(Index.open(path / _ITEMS, model=model), path, chosen)
        index._load(found["graph"])
        return index

    @property
    def bits(self) -> int:
        """Code length."""
        return self._index.bits

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of the model; None if it is unknown."""
        return self._index.fingerprint

    def __len__(self) -> int:
        return len(self._index)

    def add(self, items: Any, ids: Any = None, metadata: Metadata | None = None, *, upsert: bool = False) -> Self:
        """Add items, all or none; see `kinbits.index.Index.add`."""
        with self._change():
            before = self._snapshot
            self._index.add(items, ids, metadata, upsert=upsert)
            self._follow(before)
        return self

    def delete(self, ids: Any) -> Self:
        """Remove items, all or none; see `kinbits.index.Index.delete`."""
        with self._change():
            before = self._snapshot
            self._index.delete(ids)
            self._follow(before)
        return self

    def compact(self) -> Self:
        """Remove deleted items from the files, and build the faiss index again."""
        with self._change():
            self._index.compact()
            return self.rebuild()

    def rebuild(self) -> Self:
        """Build the faiss index again, and measure its recall; this takes minutes for millions of items."""
        with self._change():
            self._snapshot = IndexSnapshot(self._index)
            self._graph = self._build() if self._wants_graph() else None
            self._write(self._location)
        return self

    def search(
        self,
        query: Any = None,
        k: int | None = None,
        *,
        text: Any = None,
        radius: int | None = None,
        where: Where | None = None,
        distance: Distance | None = None,
        rerank: int | bool = False,
    ) -> Hits | BatchHits:
        """Find the k nearest items approximately; with a radius, a filter or the asymmetric distance, exactly.

        For arguments and errors see `kinbits.index.Index.search`.
        """
        if distance not in (None, "hamming"):
            exact: Hits | BatchHits = self._index.search(
                query, k, text=text, radius=radius, where=where, distance=distance, rerank=rerank
            )
            return exact
        if rerank:
            k, _ = check_limits(k, radius)
            find = partial(self.search, radius=radius, where=where)
            return reranked(query, text, self._index._model, rerank, k, find)
        model = self._index._model
        request = SearchRequest.from_query(
            query, text, model, self.bits, self.fingerprint, k=k, radius=radius, where=where
        )
        if self._graph is None or request.radius is not None or request.where or not request.k or not len(self):
            found = self._index.search(request.codes, k=request.k, radius=request.radius, where=where)
            return request.result(list(found))
        return request.result(self._nearest(self._graph, request.codes, min(request.k, len(self))))

    def recall(self, k: int = _MEASURED_K, sample: int = 100) -> float:
        """Measure the share of the k nearest items that a search finds, with a sample of stored codes as queries.

        A hit counts if it is not farther than the exact k-th hit, so ties do not matter. Stored codes are easier to
        find than new ones, so expect a lower share for your queries.

        Returns:
            Recall between 0 and 1; 1 if search is exact.
        """
        ids, codes = self._snapshot.items()
        if self._graph is None or not len(ids):
            return 1.0
        picked = codes[np.random.default_rng(0).permutation(len(ids))[:sample]]
        wanted = min(hamming.check_count(k, "k"), len(ids))
        if not wanted:
            return 1.0
        found = self._nearest(self._graph, picked, wanted)
        exact, _ = hamming.topk(picked, codes, wanted)
        good = sum(int((hits.distances <= near[-1]).sum()) for hits, near in zip(found, exact, strict=True))
        return good / (wanted * len(picked))

    def info(self) -> dict[str, Any]:
        """Describe the index in plain values; ``recall@10`` was measured when the faiss index was built."""
        graph = self._graph
        return {
            **self._index.info(),
            "path": str(self._location) if self._location else None,
            "engine": self.name,
            "options": asdict(self._chosen),
            "search": self._state(),
            f"recall@{_MEASURED_K}": graph.recall if graph else None,
            "dead rows": int((~graph.alive).sum()) if graph else 0,
        }

    def verify(self) -> None:
        """Read all files and verify their checksums.

        Raises:
            ArtefactError: If a file is damaged; the message names it.
        """
        self._index.verify()
        if self._location is not None:
            sidecar = Sidecar(self._location)
            entry = sidecar.read(self.name)["graph"]
            if entry is not None:
                sidecar.load_graph(entry, IndexSnapshot(self._index), _faiss(), self._searcher)

    def save(self, path: PathLike) -> None:
        """Write the contents into a new folder; this index stays open where it is.

        Raises:
            UsageError: If the folder exists and is not empty.
            PlatformError: If it cannot be written.
        """
        with new_folder(full_path(path)) as aside:
            self._index.save(aside / _ITEMS)
            copied = IndexSnapshot(Index.open(aside / _ITEMS))
            graph = None if self._graph is None else replace(self._graph, describes=copied.version)
            Sidecar(aside).write(self.name, asdict(self._chosen), graph)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self)} items, {self.bits} bits, {self._location or 'memory'}, {self._state()})"
        )

    def _state(self) -> str:
        if self._graph is not None:
            return f"approximate, recall@{_MEASURED_K} {self._graph.recall:.3f} of {self._graph.built} items"
        if self._wants_graph():
            return "exact: the faiss index is outdated, call rebuild()"
        return f"exact: fewer than {self._chosen.exact_below} items"

    def _wants_graph(self) -> bool:
        return bool(len(self) >= self._chosen.exact_below)

    def _load(self, entry: Any) -> None:
        """Load the graph on disk if it fits the items."""
        if entry is None and not self._wants_graph():
            return
        assert self._location is not None
        try:
            self._graph = Sidecar(self._location).load_graph(entry, self._snapshot, _faiss(), self._searcher)
        except ArtefactError as error:
            warnings.warn(f"search is exact, but slow: {error}", RuntimeWarning, stacklevel=4)

    def _follow(self, before: IndexSnapshot) -> None:
        """Update the faiss index to the present items."""
        self._snapshot = IndexSnapshot(self._index)
        if self._snapshot.version == before.version:
            return
        if not len(self):
            self._graph = None
        elif self._graph is not None:
            self._graph = self._updated(self._graph, before)
        elif self._wants_graph() and len(before) < self._chosen.exact_below:
            self._graph = self._build()  # an outdated one waits for rebuild(), which may take minutes
        self._write(self._location)

    def _updated(self, graph: Graph, before: IndexSnapshot) -> Graph:
        if self._retrain_at and len(self) >= self._retrain_at * graph.built:
            return self._build()
        gone, fresh, codes = _changes(before, self._snapshot)
        return graph.without(gone).extended(fresh, codes, self._snapshot)

    def _build(self) -> Graph:
        self._graph = Graph.from_snapshot(self._searcher, _faiss(), self._snapshot, self._chosen)
        return replace(self._graph, recall=self.recall())

    def _nearest(self, graph: Graph, codes: Codes, wanted: int) -> list[Hits]:
        proposed = graph.propose(codes, wanted, self._chosen)
        return [self._ordered(ids, query, wanted) for ids, query in zip(proposed, codes, strict=True)]

    def _ordered(self, ids: Ids, query: Codes, wanted: int) -> Hits:
        """Order candidates by distance; if they are too few, search exactly."""
        snapshot = self._snapshot
        ids = np.unique(ids)
        held, codes = snapshot.codes(ids)
        ids, near = ids[held], hamming.distances(query[None], codes)[0].astype(np.int32)
        if len(ids) < wanted:
            exact: Hits = self._index.search(query, k=wanted)
            return exact
        order = np.argsort(near, kind="stable")[:wanted]  # ids are ascending
        ids, codes = ids[order], codes[order]
        return Hits(
            decode_ids(ids),
            near[order],
            lambda some: snapshot.metadata(ids[some]),
            lambda some: codes[some],
            snapshot.image_roots,
            snapshot.columns,
        )

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Lock out other threads, and refuse to overwrite another index that was moved to this folder."""
        with self._changing:
            if self._location is not None and Sidecar(self._location).raw() != self._sidecar:
                found = Sidecar(self._location).read(self.name)
                if found["options"] != asdict(self._chosen):
                    raise ArtefactError(f"the index at {self._location} was created again; open it with open_index")
            yield

    def _write(self, location: Path | None) -> None:
        if location is None:
            return
        try:
            self._sidecar = Sidecar(location).write(self.name, asdict(self._chosen), self._graph)
        except (OSError, RuntimeError) as error:  # faiss raises RuntimeError for a full disk
            raise PlatformError(
                f"the items in {location} are saved, but the faiss index cannot be written ({error}); "
                "check permissions and free space, then call rebuild()"
            ) from None

    def __reduce__(self) -> tuple[Any, ...]:
        if self._location is None:
            raise UsageError("a faiss index in memory cannot be pickled; create it in a folder")
        return reopen, (type(self), self._location, self._index._model, {})


def _changes(before: IndexSnapshot, after: IndexSnapshot) -> tuple[Ids, Ids, Codes]:
    """Return ids that are gone or have another code, ids that are new or have another code, and the codes of these."""
    old_ids, old_codes = before.items()
    ids, codes = after.items()
    _, old_at, at = np.intersect1d(old_ids, ids, assume_unique=True, return_indices=True)
    same = (old_codes[old_at] == codes[at]).all(axis=1)
    gone, fresh = np.ones(len(old_ids), np.bool_), np.ones(len(ids), np.bool_)
    gone[old_at[same]] = fresh[at[same]] = False
    return old_ids[gone], ids[fresh], codes[fresh]


def _faiss() -> Any:
    faiss = require("faiss")
    _make_forks_safe(faiss)
    return faiss


@cache
def _make_forks_safe(faiss: Any) -> None:
    """Make forked children use one thread; OpenMP would wait for the threads of the parent."""
    os.register_at_fork(after_in_child=partial(faiss.omp_set_num_threads, 1))
