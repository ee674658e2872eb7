"""The index that users hold: codes with ids and metadata, searched exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack, overload

# NumPy loads these when they are first used. A child that is forked while a thread of its parent loads a module waits
# for that module for ever, so they are loaded before there is an index.
import numpy.char
import numpy.ma
import numpy.random  # noqa: F401

from kinbits import hamming
from kinbits.encoding import CodesFile
from kinbits.index.changes import codes_of
from kinbits.index.collection import Collection
from kinbits.index.filters.where import Where, parse_where
from kinbits.index.hits import BatchHits, Hits
from kinbits.index.opening import PathLike
from kinbits.index.query.near_duplicates import IdPairs, pairs
from kinbits.index.query.plan import Plan, plan
from kinbits.index.query.request import SearchOptions, SearchRequest, check_limits
from kinbits.index.query.rerank import reranked
from kinbits.index.query.search import search
from kinbits.index.store.copies import save_copy


class Index(Collection):
    """Binary codes with ids and metadata; search is exact, ordered by distance, then by ascending id.

    Made by `create` or `open`. In a folder, every change is complete and synced when its call returns: a
    crash at any instant loses the unfinished call and nothing else. One writer at a time, any number of
    readers; a reader goes on with the contents that it opened until it calls `refresh`. Large files are mapped, not
    loaded, and each is compared with its checksum before the first search or change that uses it, and again after
    another program has touched it: what is damaged on disk raises an error and never becomes an answer.

    Threads may share an index: searches run together, changes wait for each other. A forked child may search with
    its parent's index. An index in a folder is pickled by its path, one in memory with its contents.

    Attributes:
        last_change: How many items the last change by this object added, replaced and deleted; None before it.

    Example:
        >>> import numpy as np
        >>> codes = np.array([[0b0000], [0b0001], [0b1111]], np.uint8)
        >>> index = Index.create(bits=8)
        >>> index.add(codes, ids=["a", "b", "c"], metadata={"year": [2019, 2020, 2021]})
        Index(3 items, 8 bits, memory)
        >>> index.search(codes[0], k=2, where="year>=2020")
        id  distance  year
        b          1  2020
        c          4  2021
    """

    @overload
    def search(self, query: list[Any], k: int | None = None, **options: Unpack[SearchOptions]) -> BatchHits: ...
    @overload
    def search(
        self, query: None = None, k: int | None = None, *, text: str, **options: Unpack[SearchOptions]
    ) -> Hits: ...
    @overload
    def search(
        self, query: None = None, k: int | None = None, *, text: list[str], **options: Unpack[SearchOptions]
    ) -> BatchHits: ...
    @overload
    def search(
        self, query: Any = None, k: int | None = None, *, text: Any = None, **options: Unpack[SearchOptions]
    ) -> Any: ...
    def search(
        self,
        query: Any = None,
        k: int | None = None,
        *,
        text: Any = None,
        radius: int | None = None,
        where: Where | None = None,
        strategy: str = "auto",
        rerank: int | bool = False,
    ) -> Hits | BatchHits:
        """Find the nearest items, or all within a radius.

        Args:
            query: One code uint8 ``(w,)`` or several ``(q, w)``; or one item or several that the model encodes: see
                `kinbits.HashModel.encode`. A folder, a list and an array of items are several queries, also if they
                hold one. A grey image ``(h, w)`` is taken for codes if w is their width, or if a side has under 8
                pixels or over four times the other: give ``[image]`` then.
            text: A text or a list of texts instead of a query, for a model with a text tower.
            k: At most so many hits; 10 if neither ``k`` nor ``radius`` is given.
            radius: Only hits within this Hamming distance, in bits.
            where: Filter on metadata: a text ``"year >= 2020 and (label = cat or label = dog)"``, texts that must
                all hold, or a dict ``{"year": {">=": 2020}}``. `docs/filters.md` describes the language.
            strategy: How segments with tables (see `optimize`) are searched: ``"auto"`` chooses, see `explain`;
                ``"scan"``, ``"grouped"`` or ``"multi-index"`` force it. The answers are the same.
            rerank: Put so many of the nearest into the order of how far the query's features lie from those that
                the model reconstructs from a code; True for 10 k, at least 100. What ties then stays in the order of
                distance and id, and so do the hits behind. The model needs a decoder (method ``rankhash``), and
                queries are items, not codes.

        Returns:
            `Hits` for one query, `BatchHits` for several; the distances are Hamming distances in any case.

        Raises:
            UsageError: if an argument cannot be used, or the query needs a model, or a decoder, or is a text file.
            DataError: if the query's codes do not fit.
            ArtefactError: naming a file that is damaged.
        """
        if rerank:
            k, radius = check_limits(k, radius)
            find = partial(self.search, radius=radius, where=where, strategy=strategy)
            return reranked(query, text, self._model, rerank, k, find)
        request = SearchRequest.from_query(
            query, text, self._model, self.bits, k=k, radius=radius, where=where, strategy=strategy
        )
        return request.result(search(self._state, request, self.image_roots))

    def explain(self, k: int | None = None, radius: int | None = None, queries: int = 1) -> Plan:
        """Tell how `search` goes about each segment, and why; the answer prints as text.

        Args:
            k: As for `search`.
            radius: As for `search`.
            queries: How many are asked together.

        Raises:
            UsageError: if a number is negative or no integer.
            ArtefactError: naming a file that is damaged.
        """
        limits = check_limits(k, radius)
        return plan(self._state, *limits, hamming.check_count(queries, "queries"), self._builder.options.table_rows)

    def pairs(self, radius: int, where: Where | None = None) -> Iterator[IdPairs]:
        """Find all pairs of items whose codes differ in at most ``radius`` bits, each once.

        Uses the tables of an index of one segment (after `compact` and `optimize`); otherwise tables over all codes
        are built first, in memory.

        Args:
            radius: Largest distance that counts, in bits; 0 finds equal codes.
            where: Filter that both items of a pair meet.

        Returns:
            An iterator over chunks: smaller ids and larger ids, int64 or str ``(c,)``, and distances int32 ``(c,)``.
            It searches as it is asked on: memory stays bounded however many pairs there are.

        Raises:
            UsageError: if ``radius`` or ``where`` cannot be used.
            ArtefactError: naming a file that is damaged.
        """
        return pairs(self._state, hamming.check_count(radius, "radius"), parse_where(where))

    def image_roots(self) -> list[Path]:
        """Return the folders in which hits look for images whose paths are ids or metadata."""
        return [Path.cwd(), self._folder.path.parent] if self._folder else [Path.cwd()]

    def info(self) -> dict[str, Any]:
        """Describe the index in plain values: items, bits, model, columns, segments, place."""
        state = self._state
        return {
            "path": str(self._folder.path) if self._folder else None,
            "items": len(state),
            "bits": state.bits,
            "fingerprint": state.fingerprint,
            "model": state.model_folder,
            "image_roots": list(state.image_roots),
            "ids": state.id_kind,
            "columns": state.columns,
            "column_types": state.column_kinds,
            "segments": len(state.segments),
            "deleted": sum(segment.dead for segment in state.segments),
            "tables": sum(segment.tables is not None for segment in state.segments),
            "generation": state.generation,
        }

    def verify(self) -> None:
        """Read everything and compare it with its checksums and promises.

        Raises:
            ArtefactError: naming what is damaged.
        """
        if self._folder is not None:
            self._folder.check()
        self._state.check()

    def to_codes(self, columns: Sequence[str] | None = None) -> CodesFile:
        """Return all items, as `create` and `kinbits.encoding.write_codes` take them.

        Args:
            columns: Names of the metadata columns to return; None returns all.

        Raises:
            ArtefactError: Naming a file that is damaged.
        """
        return codes_of(self._state, self._state.columns if columns is None else columns, self._name)

    def save(self, path: PathLike) -> None:
        """Write the present contents into a new folder; this index stays where it is.

        Raises:
            UsageError: if something lies there already.
            PlatformError: if it cannot be written.
        """
        save_copy(path, self._state)

    def __repr__(self) -> str:
        return f"Index({len(self)} items, {self.bits} bits, {self._name})"

    @property
    def _name(self) -> str:
        return str(self._folder.path) if self._folder else "memory"
