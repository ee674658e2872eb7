"""An approximate index of faiss with the ids of its rows: proposes candidates, and lies in files of its own."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kinbits._errors import ArtefactError
from kinbits.hamming import Codes
from kinbits.index._ids import Ids, concatenate
from kinbits.index.engines._registry import SIDECAR
from kinbits.index.engines._truth import Rows, Truth

_FORMAT = 1


class Searcher(ABC):
    """How one type of faiss index is built, extended and asked.

    Attributes:
        kind: Name of faiss's class.
    """

    kind: ClassVar[str]

    def __init__(self, faiss: Any, index: Any) -> None:
        self.faiss, self.index = faiss, index

    @classmethod
    @abstractmethod
    def build(cls, faiss: Any, codes: Codes, options: Any) -> Searcher:
        """Make an index of all rows of ``codes``."""

    @abstractmethod
    def candidates(self, codes: Codes, count: int, alive: NDArray[np.bool_], options: Any) -> Rows:
        """Propose living rows for each query, int64 ``(q, c)``; -1 where there is none."""


@dataclass(frozen=True)
class Graph:
    """A searcher and what its rows mean; never changed, except that the searcher grows at its end.

    Attributes:
        searcher: Over codes that faiss copied.
        ids: Id of each row.
        alive: bool, False for rows that were deleted or replaced.
        generation: Of the contents of the embedded index that it describes.
        built: How many rows it was built, and for IVF trained, with.
        recall: Share of the 10 nearest that was found then.
    """

    searcher: Searcher
    ids: Ids
    alive: NDArray[np.bool_]
    generation: int
    built: int
    recall: float | None = None

    def without(self, ids: Ids) -> Graph:
        """Mark the rows of ids as dead."""
        return replace(self, alive=self.alive & ~np.isin(self.ids, ids))

    def extended(self, ids: Ids, codes: Codes, generation: int) -> Graph:
        """Append rows, and describe the contents that hold them."""
        if len(ids):
            self.searcher.index.add(np.ascontiguousarray(codes))
        alive = np.concatenate([self.alive, np.ones(len(ids), np.bool_)])
        return replace(self, ids=concatenate([self.ids, ids]), alive=alive, generation=generation)


@dataclass(frozen=True)
class Sidecar:
    """The file that names the engine, its options, and the graph's files.

    Attributes:
        path: The index's folder.
    """

    path: Path

    def write(self, engine: str, options: Mapping[str, Any], graph: Graph | None) -> None:
        """Save a graph and swap the file that names it; old files go last."""
        entry = None if graph is None else self._save(graph)
        text = json.dumps({"format": _FORMAT, "engine": engine, "options": dict(options), "graph": entry}, indent=2)
        _write(self.path / f"{SIDECAR}.new", text.encode())
        os.replace(self.path / f"{SIDECAR}.new", self.path / SIDECAR)
        keep = {name for name, _ in entry["files"].values()} if entry else set()
        for path in self.path.glob("graph-*"):
            if path.name not in keep:
                path.unlink(missing_ok=True)

    def read(self, engine: str) -> dict[str, Any]:
        """Return what was written.

        Raises:
            ArtefactError: if it is damaged, or of a newer format or another engine.
        """
        try:
            found = json.loads((self.path / SIDECAR).read_bytes())
            format_, name, _, _ = found["format"], found["engine"], dict(found["options"]), found["graph"]
        except FileNotFoundError:
            raise ArtefactError(f"there is no '{engine}' index at {self.path}; make one with create_index") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtefactError(f"{self.path / SIDECAR} cannot be read ({error!r}); restore it from a backup") from None
        if format_ != _FORMAT or name != engine:
            raise ArtefactError(
                f"{self.path} is an index of engine '{name}', format {format_}; this is '{engine}', format {_FORMAT}"
            )
        return dict(found)

    def load(self, entry: Any, truth: Truth, faiss: Any, kind: type[Searcher]) -> Graph:
        """Load the graph of these items, after all of its bytes have been compared with their checksums.

        Raises:
            ArtefactError: if there is none, or a file is missing or differs.
        """
        try:
            if entry is None or entry["generation"] != truth.generation:
                raise ValueError("it is not of these items: a writer was interrupted, or is at work")
            files = {part: self._checked(*entry["files"][part]) for part in ("faiss", "ids", "alive")}
            index = faiss.read_index_binary(str(files["faiss"]))
            ids, alive = np.load(files["ids"]), np.load(files["alive"])
            built, recall = int(entry["built"]), float(entry["recall"])
            fits = type(index).__name__ == kind.kind and index.code_size == truth.width
            if not fits or not index.ntotal == len(ids) == len(alive):  # faiss would read beyond its memory
                raise ValueError("its files do not belong together")
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise ArtefactError(f"faiss's part of {self.path} cannot be used: {error}; call rebuild()") from None
        return Graph(kind(faiss, index), ids, alive, truth.generation, built, recall)

    def _save(self, graph: Graph) -> dict[str, Any]:
        stem = f"graph-{graph.generation}"
        faiss = graph.searcher.faiss
        faiss.write_index_binary(graph.searcher.index, str(self.path / f"{stem}.faiss"))
        np.save(self.path / f"{stem}.ids.npy", graph.ids)
        np.save(self.path / f"{stem}.alive.npy", graph.alive)
        names = {"faiss": f"{stem}.faiss", "ids": f"{stem}.ids.npy", "alive": f"{stem}.alive.npy"}
        files = {part: [name, _digest(self.path / name)] for part, name in names.items()}
        return {"generation": graph.generation, "built": graph.built, "recall": graph.recall, "files": files}

    def _checked(self, name: str, digest: str) -> Path:
        path = self.path / Path(name).name
        if not path.is_file():
            raise ValueError(f"{name} is missing")
        if _digest(path) != digest:
            raise ValueError(f"{name} differs from its checksum")
        return path


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
