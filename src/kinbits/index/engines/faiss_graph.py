"""An approximate index of faiss with the ids of its rows, and its files."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kinbits._util import file_aside, file_digest, lazy, read_regular
from kinbits.errors import ArtefactError
from kinbits.hamming import Codes
from kinbits.index.engines.registry import SIDECAR
from kinbits.index.engines.snapshot import IndexSnapshot, Rows, Version
from kinbits.index.store.ids import Ids, concatenate

_FORMAT = 1


class Searcher(ABC):
    """Builds and searches one type of faiss index.

    Attributes:
        kind: Name of the faiss class.
    """

    kind: ClassVar[str]

    def __init__(self, faiss: Any, index: Any) -> None:
        self.faiss, self.index = faiss, index

    @classmethod
    @abstractmethod
    def from_codes(cls, faiss: Any, codes: Codes, options: Any) -> Searcher:
        """Build an index of all rows of ``codes``."""

    @abstractmethod
    def candidates(self, codes: Codes, count: int, alive: NDArray[np.bool_], options: Any) -> Rows:
        """Return candidate rows for each query, int64 ``(q, c)``, without deleted ones; -1 for none."""


@dataclass(frozen=True)
class Graph:
    """A searcher over distinct codes, and the items of each code. It is immutable, but the searcher may grow.

    Items with the same code share a node. Otherwise copies would be the only neighbours of each other, and a search
    would not leave them.

    Attributes:
        searcher: Searcher over the distinct codes; its rows are the nodes.
        ids: Id of each item.
        nodes: Node of each item, int64.
        alive: False for deleted or replaced items, bool.
        describes: Version of the contents of the exact index, see `IndexSnapshot`.
        built: Number of items at construction or training.
        recall: Share of the 10 nearest items that it found then.
    """

    searcher: Searcher
    ids: Ids
    nodes: Rows
    alive: NDArray[np.bool_]
    describes: Version
    built: int
    recall: float | None = None

    @classmethod
    def from_snapshot(cls, kind: type[Searcher], faiss: Any, snapshot: IndexSnapshot, options: Any) -> Graph:
        """Build a graph of all items."""
        ids, codes = snapshot.items()
        distinct, nodes = grouped(codes)
        alive = np.ones(len(ids), np.bool_)
        return cls(kind.from_codes(faiss, distinct, options), ids, nodes, alive, snapshot.version, len(ids))

    def without(self, ids: Ids) -> Graph:
        """Mark items as deleted."""
        return replace(self, alive=self.alive & ~np.isin(self.ids, ids))

    def extended(self, ids: Ids, codes: Codes, snapshot: IndexSnapshot) -> Graph:
        """Append items of a new snapshot."""
        distinct, which = grouped(codes)
        nodes = self._nodes_of(distinct, snapshot)
        new = nodes < 0
        if new.any():
            nodes[new] = self.searcher.index.ntotal + np.arange(new.sum())
            self.searcher.index.add(np.ascontiguousarray(distinct[new]))
        return replace(
            self,
            ids=concatenate([self.ids, ids]),
            nodes=np.concatenate([self.nodes, nodes[which]]),
            alive=np.concatenate([self.alive, np.ones(len(ids), np.bool_)]),
            describes=snapshot.version,
        )

    def propose(self, codes: Codes, count: int, options: Any) -> list[Ids]:
        """Return candidate ids for each query, at least ``count`` if possible; from each node the smallest ids."""
        starts, _ = self._lists
        living = starts[1:] > starts[:-1]
        found = self.searcher.candidates(codes, min(count, int(living.sum())), living, options)
        return [self._items(nodes[nodes >= 0], count) for nodes in found]

    @lazy
    def _lists(self) -> tuple[Rows, Ids]:
        """Start of the items of each node, and all items by node and id, without deleted ones."""
        rows = np.flatnonzero(self.alive)
        rows = rows[np.lexsort((self.ids[rows], self.nodes[rows]))]
        return np.searchsorted(self.nodes[rows], np.arange(self.searcher.index.ntotal + 1)), self.ids[rows]

    def _items(self, nodes: Rows, count: int) -> Ids:
        """Return at most ``count`` items of each node, from as many nodes as needed."""
        starts, ids = self._lists
        sizes = np.minimum(starts[nodes + 1] - starts[nodes], count)
        before = np.cumsum(sizes) - sizes
        nodes, sizes, before = nodes[before < count], sizes[before < count], before[before < count]
        items: Ids = ids[np.repeat(starts[nodes] - before, sizes) + np.arange(sizes.sum())]
        return items

    def _nodes_of(self, distinct: Codes, snapshot: IndexSnapshot) -> Rows:
        """Return the nodes of codes; -1 if no item has the code."""
        starts, ids = self._lists
        living = np.flatnonzero(starts[1:] > starts[:-1])
        _, held = snapshot.codes(ids[starts[living]])
        _, at, place = np.intersect1d(_keys(held), _keys(distinct), assume_unique=True, return_indices=True)
        nodes = np.full(len(distinct), -1, np.int64)
        nodes[place] = living[at]
        return nodes


def grouped(codes: Codes) -> tuple[Codes, Rows]:
    """Return the distinct codes in order of first occurrence, and the number of each code among them."""
    _, first, which = np.unique(_keys(codes), return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return codes[first[order]], rank[which]


def _keys(codes: Codes) -> NDArray[Any]:
    """Return codes as byte strings, which sort faster than rows."""
    return np.ascontiguousarray(codes).view(f"S{codes.shape[1]}").ravel()


@dataclass(frozen=True)
class Sidecar:
    """The file with the engine, its options, and the files of the graph.

    Attributes:
        path: Folder of the index.
    """

    path: Path

    def write(self, engine: str, options: Mapping[str, Any], graph: Graph | None) -> bytes:
        """Save a graph, replace the sidecar file, and remove old files; return the contents of the sidecar file."""
        entry = None if graph is None else self._save(graph)
        text = json.dumps({"format": _FORMAT, "engine": engine, "options": dict(options), "graph": entry}, indent=2)
        with file_aside(self.path / SIDECAR) as aside:
            aside.write_text(text, encoding="utf-8")
        keep = {name for name, _ in entry["files"].values()} if entry else set()
        for path in self.path.glob("graph-*"):
            if path.name not in keep:
                path.unlink(missing_ok=True)
        return text.encode()

    def raw(self) -> bytes:
        """Return the bytes of the file; empty if it cannot be read."""
        try:
            return read_regular(self.path / SIDECAR)
        except OSError:
            return b""

    def read(self, engine: str) -> dict[str, Any]:
        """Return the contents of the sidecar file.

        Raises:
            ArtefactError: If it is damaged, or of another format or engine.
        """
        try:
            found = json.loads(read_regular(self.path / SIDECAR))
            format_, name, _, _ = found["format"], found["engine"], dict(found["options"]), found["graph"]
        except FileNotFoundError:
            raise ArtefactError(f"there is no '{engine}' index at {self.path}; create one with create_index") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtefactError(f"{self.path / SIDECAR} cannot be read ({error!r}); restore it from a backup") from None
        if format_ != _FORMAT or name != engine:
            raise ArtefactError(
                f"{self.path} is an index of engine '{name}', format {format_}; this is '{engine}', format {_FORMAT}"
            )
        return dict(found)

    def load_graph(self, entry: Any, snapshot: IndexSnapshot, faiss: Any, kind: type[Searcher]) -> Graph:
        """Load the graph of a snapshot; checksums are verified first.

        Raises:
            ArtefactError: If there is no graph, or a file is missing or differs.
        """
        try:
            if entry is None or (entry["generation"], entry.get("items", snapshot.version[1])) != snapshot.version:
                raise ValueError("it belongs to other items: a writer was interrupted, or is running")
            files = {part: self._checked(*entry["files"][part]) for part in ("faiss", "ids", "nodes", "alive")}
            index = faiss.read_index_binary(str(files["faiss"]))
            ids, nodes, alive = (np.load(files[part]) for part in ("ids", "nodes", "alive"))
            built, recall = int(entry["built"]), float(entry["recall"])
            fits = type(index).__name__ == kind.kind and index.code_size == snapshot.width
            paired = len(ids) == len(nodes) == len(alive) and nodes.min() >= 0 and nodes.max() + 1 == index.ntotal
            if not fits or not paired:  # else faiss would read out of bounds
                raise ValueError("its files do not belong together")
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise ArtefactError(f"the faiss index of {self.path} cannot be used: {error}; call rebuild()") from None
        return Graph(kind(faiss, index), ids, nodes, alive, snapshot.version, built, recall)

    def _save(self, graph: Graph) -> dict[str, Any]:
        generation, stamp = graph.describes
        stem = f"graph-{generation}"
        faiss = graph.searcher.faiss
        faiss.write_index_binary(graph.searcher.index, str(self.path / f"{stem}.faiss"))
        np.save(self.path / f"{stem}.ids.npy", graph.ids)
        names = {"faiss": f"{stem}.faiss"}
        for part in ("ids", "nodes", "alive"):
            names[part] = f"{stem}.{part}.npy"
            np.save(self.path / names[part], getattr(graph, part))
        files = {part: [name, file_digest(self.path / name).hex()] for part, name in names.items()}
        record = {"generation": generation, "items": stamp, "built": graph.built, "recall": graph.recall}
        return {**record, "files": files}

    def _checked(self, name: str, digest: str) -> Path:
        path = self.path / Path(name).name
        if not path.is_file():
            raise ValueError(f"{name} is missing")
        if file_digest(path).hex() != digest:
            raise ValueError(f"{name} differs from its checksum")
        return path
