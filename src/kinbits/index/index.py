"""The exact index: codes with ids and metadata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any, Literal, Unpack, overload

# NumPy loads these on first use. If a process forks while a thread loads a module, the child waits for that module for
# ever, so load them before an index exists.
import numpy as np
import numpy.char
import numpy.ma
import numpy.random
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.data import as_html
from kinbits.encoding import CodesFile
from kinbits.errors import ArtefactError, UsageError
from kinbits.index.changes import codes_of
from kinbits.index.collection import Collection
from kinbits.index.filters.where import Where, parse_where
from kinbits.index.hits import BatchHits, Hits
from kinbits.index.linked_model import reads_text
from kinbits.index.opening import PathLike
from kinbits.index.query.measure import measure_of
from kinbits.index.query.near_duplicates import IdPairs, pairs
from kinbits.index.query.plan import Plan, plan
from kinbits.index.query.recall import Recall, recall
from kinbits.index.query.request import Distance, SearchOptions, SearchRequest, check_limits, distance_of
from kinbits.index.query.rerank import reranked
from kinbits.index.query.rescore import check_times, rescored
from kinbits.index.query.search import search
from kinbits.index.store.copies import save_copy
from kinbits.index.store.ids import as_ids
from kinbits.perceptual import hash_of_fingerprint

_SHOWN = 8  # images in a notebook


class Index(Collection):
    """Binary codes with ids and metadata; search is exact, ordered by distance, then by ascending id.

    Use `create` or `open`. In a folder, a change is complete and synced when its call returns, so a crash loses only
    the unfinished call. There is one writer at a time and any number of readers; a reader keeps the contents that it
    opened until it calls `refresh`. Large files are mapped, not loaded. Each file is compared with its checksum before
    its first use, and again after another program has touched it: damage raises an error and never changes a result.

    Threads may share an index: searches run in parallel, and changes wait for each other. A forked child may search in
    the index of its parent. An index in a folder is pickled by its path, an index in memory with its contents.

    Attributes:
        last_change: Numbers of items that the last change of this object added, replaced and deleted; None before it.

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
        radius: float | None = None,
        where: Where | None = None,
        distance: Distance | None = None,
        strategy: str = "auto",
        rerank: int | bool = False,
        rescore: int | Literal["bound"] | None = None,
        vectors: Any = None,
    ) -> Hits | BatchHits:
        """Find the nearest items, or all within a radius.

        Args:
            query: One code uint8 ``(w,)`` or several ``(q, w)``; or items that the model encodes, see
                `kinbits.HashModel.encode`. A folder, a list and an array of items are several queries, even with one
                item. A grey image ``(h, w)`` counts as codes if w is the width of a code, or a side is under 8 pixels
                or over four times the other: pass ``[image]`` then.
            text: A text or a list of texts instead of a query: for a model with a text tower; or, in an index that
                keeps concepts (`create`), the name of an everyday object, which is compared with the classes of images.
                A warning tells where no class is near to a text. Distances, from 0 to 1, order the hits of
                one text.
            k: Maximum number of hits per query; 10 if neither ``k`` nor ``radius`` is given.
            radius: Maximum distance of a hit: in bits, or in the unit of the logits for the asymmetric distance.
            where: Filter on metadata: a text ``"year >= 2020 and (label = cat or label = dog)"``, texts that must
                all hold, or a dict ``{"year": {">=": 2020}}``. `docs/filters.md` describes the language.
            distance: ``"hamming"``, the default for bits, or ``"asymmetric"``: the real-valued query is compared with
                the stored bits, by the sum of its absolute logits over the bits that differ
                (`kinbits.hamming.sign_tables`). It keeps more of the nearest neighbours of the features, and there are
                hardly any ties. The query must be items, or their tables, which the model encodes with
                ``output="tables"``. Product codes are always searched so; codes then stand for what they encode.
            strategy: How segments with search tables (see `optimize`) are searched: ``"scan"``, ``"grouped"``,
                ``"multi-index"``, or ``"auto"`` for the fastest, see `explain`. The results are the same.
            rerank: Number of nearest hits to reorder by the distance between the query's features and the features that
                the model reconstructs from a code; True for 10 k, at least 100. Ties and further hits stay in the order
                of distance and id. The model needs a decoder (method ``rankhash``); queries are items, not codes.
            rescore: Candidates for each hit, e.g. 10: the k rescore nearest by codes are ordered again by the vectors
                that the index keeps (``keep=`` of `create`). `Hits.measure` says by what. For scaled codes also
                ``"bound"``: as many vectors are read as it takes until, with a probability near 1, no other item can be
                among the k nearest.
            vectors: With ``rescore``, the queries' own vectors, float ``(q, d)``, if they are codes or tables.

        Returns:
            `Hits` for one query, `BatchHits` for several.

        Raises:
            UsageError: If an argument is invalid, the query needs a model or a decoder, or it is a text file; or the
                index keeps no vectors to rescore with.
            DataError: If the query's codes do not fit.
            ArtefactError: If a file is damaged; the message names it. Or the query's codes are of another model.
        """
        asked, distance = distance, distance_of(distance, self.words)
        if rescore is not None or vectors is not None:
            if rescore is None:
                raise UsageError("vectors= are what hits are scored again with; give rescore= too, e.g. rescore=10")
            if rerank or text is not None or radius is not None:
                raise UsageError("rescore orders the nearest again by kept vectors; leave rerank, text and radius out")
            times = check_times(rescore)
            k, _ = check_limits(k, None)
            found = partial(self.search, where=where, distance=distance, strategy=strategy)
            model = self._model
            return rescored(query, vectors, model, self._state, distance, times=times, k=k or 0, find=found)
        if rerank:
            if distance != "hamming":
                raise UsageError("rerank orders the nearest hits by Hamming distance, not asymmetric; leave rerank out")
            k, _ = check_limits(k, radius)
            find = partial(self.search, radius=radius, where=where, strategy=strategy)
            return reranked(query, text, self._model, rerank, k, find)
        if text is not None and query is None and self._by_words(asked):
            concepts = self._state.concepts
            assert concepts is not None
            words = SearchRequest.from_words(text, self._state, concepts, k=k, radius=radius, where=where)
            return words.result(self._found(words))
        request = SearchRequest.from_query(
            query,
            text,
            self._model,
            self.bits,
            self.fingerprint,
            k=k,
            radius=radius,
            where=where,
            distance=distance,
            strategy=strategy,
            words=self.words,
        )
        request = request._replace(measure=measure_of(self.words, self._model))
        return request.result(self._found(request))

    def _found(self, request: SearchRequest) -> list[Hits]:
        """Return the hits of each query."""
        return search(self._state, request)

    def ids(self, where: Where | None = None, *, limit: int | None = None) -> NDArray[Any]:
        """Return the ids of the items that meet a filter; of all items without one.

        Args:
            where: Filter, see `search`.
            limit: Maximum number of ids; which ones are returned is not defined.

        Returns:
            int64 or str ``(n,)``, ascending.

        Raises:
            UsageError: If the filter cannot be used.
            ArtefactError: If a file is damaged; the message names it.
        """
        return np.sort(self._some(len(self) if limit is None else limit, where).ids)

    def explain(self, k: int | None = None, radius: int | None = None, queries: int = 1) -> Plan:
        """Explain how `search` would search each segment; the result prints as text.

        Args:
            k: As for `search`.
            radius: As for `search`.
            queries: Number of queries in one call.

        Raises:
            UsageError: If a number is negative or no integer.
            ArtefactError: If a file is damaged; the message names it.
        """
        self._require_bits("strategies are for", "a search always reads all codes")
        most, within = check_limits(k, radius)
        return plan(
            self._state,
            most,
            None if within is None else int(within),
            hamming.check_count(queries, "queries"),
            self._builder.options.table_rows,
        )

    def pairs(self, radius: int, where: Where | None = None) -> Iterator[IdPairs]:
        """Find all pairs of items whose codes differ in at most ``radius`` bits, each once.

        It uses the search tables of an index with one segment (after `compact` and `optimize`); otherwise it first
        builds tables over all codes in memory.

        Args:
            radius: Maximum distance in bits; 0 finds equal codes.
            where: Filter that both items of a pair must meet.

        Returns:
            An iterator over chunks: smaller ids and larger ids, int64 or str ``(c,)``, and distances int32 ``(c,)``.
            It searches while it is consumed, so memory stays bounded.

        Raises:
            UsageError: If ``radius`` or ``where`` cannot be used.
            ArtefactError: If a file is damaged; the message names it.
        """
        self._require_bits("pairs are found by", "make an index of bits, e.g. of method itq")
        return pairs(self._state, hamming.check_count(radius, "radius"), parse_where(where))

    def recall(self, k: int = 10, *, sample: int = 200, rescore: int = 10, seed: int = 0) -> Recall:
        """Measure how many of an item's nearest neighbours by kept vectors every stage of a search finds.

        Some of the index's own items are the queries, each of which leaves itself out.

        Args:
            k: Length of the lists.
            sample: Number of items to search with.
            rescore: As for `search`, a number; the stage "bound" of scaled codes is always measured.
            seed: Of the sample.

        Returns:
            `Recall`: prints as lines; ``stages`` maps each stage to its share.

        Raises:
            UsageError: If the index keeps no vectors, or a number is out of range.
            DataError: If there are no k + 1 items.
        """
        numbers = {"k": k, "sample": sample, "rescore": rescore}
        if not all(hamming.check_count(value, name) for name, value in numbers.items()):
            raise UsageError(f"k={k}, sample={sample}, rescore={rescore}: give 1 or more of each")
        model = None
        with suppress(ArtefactError):  # without its model, an index has no tables of queries
            model = self.model
        return recall(self._state, model, self.search, k=k, sample=sample, rescore=rescore, seed=seed)

    def info(self) -> dict[str, Any]:
        """Describe the index in plain values: path, items, bits, model, columns and segments."""
        state = self._state
        return {
            "path": str(self._folder.path) if self._folder else None,
            "items": len(state),
            "bits": state.bits,
            "words": state.words,
            "keep": None if state.keep is None else asdict(state.keep),
            "concepts": None if state.concepts is None else asdict(state.concepts),
            "fingerprint": state.fingerprint,
            "model": self._model_name,
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
        """Read all files, compare them with their checksums, and check ids, codes and metadata.

        Raises:
            ArtefactError: If a file is damaged; the message names it.
        """
        if self._folder is not None:
            self._folder.check()
        self._state.check()

    def to_codes(self, columns: Sequence[str] | None = None, *, ids: Any = None) -> CodesFile:
        """Return all items or some, as `create` and `kinbits.encoding.write_codes` take them.

        Args:
            columns: Names of the metadata columns to return; None returns all.
            ids: One id or several, in the order of which their items are returned; None returns all items.

        Raises:
            DataError: If an id is not in the index.
            UsageError: If ids are not of the kind that the index holds.
            ArtefactError: If a file is damaged; the message names it.
        """
        wanted = None if ids is None else as_ids(ids)
        return codes_of(self._state, self._state.columns if columns is None else columns, self._name, wanted)

    def save(self, path: PathLike) -> None:
        """Write the contents into a new folder; this index stays open where it is.

        Raises:
            UsageError: If the folder exists and is not empty.
            PlatformError: If it cannot be written.
        """
        save_copy(path, self._state)

    def __repr__(self) -> str:
        kept = "" if self._state.keep is None else f", {self._state.keep.precision} vectors"
        return f"Index({len(self)} items, {self.bits} bits{hamming.parts_text(self.words)}{kept}, {self._name})"

    def _repr_html_(self) -> str:
        columns = ", ".join(f"{name} ({kind})" for name, kind in self._state.column_kinds.items())
        some = self._some(_SHOWN)
        images = [(image, str(name)) for image, name in zip(some.images(), some.ids, strict=True) if image is not None]
        text = "\n".join([repr(self), f"columns: {columns or 'none'}", f"model: {self._model_name or 'not named'}"])
        return as_html(text, {"some images": images} if images else {})

    def _some(self, most: int, where: Where | None = None) -> Hits:
        """Return any items."""
        query: Any = np.zeros((1, hamming.code_width(self.bits)), np.uint8)
        if self.words != hamming.BITS:
            query = np.zeros((1, *hamming.table_shape(self.bits, self.words)), np.float32)
        found: BatchHits = self.search(query, k=most, where=where)
        return found[0]

    def _by_words(self, distance: Distance | None) -> bool:
        """Return whether texts are compared with concepts, because the model reads none.

        Raises:
            UsageError: If a distance of codes is asked for.
        """
        if self._state.concepts is None or reads_text(self._model):
            return False
        if distance is not None:
            raise UsageError("a text is compared with the classes of images, not with codes; leave the distance out")
        return True

    @property
    def _model_name(self) -> str | None:
        """The folder of the model, or the name of a perceptual hash."""
        known = hash_of_fingerprint(self._state.fingerprint)
        return self._state.model_folder if known is None else known.name

    @property
    def _name(self) -> str:
        return str(self._folder.path) if self._folder else "memory"
