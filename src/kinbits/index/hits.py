"""Search results: small objects that print well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from kinbits._util import lazy
from kinbits.hamming import Codes
from kinbits.index import hits_html, tabular
from kinbits.index.image_places import Roots
from kinbits.index.store.ids import concatenate

if TYPE_CHECKING:
    from PIL import Image

Metadata = list[dict[str, Any]]
Places = NDArray[np.int64]
Named = list[dict[str, float]]  # names of classes with their probabilities

_SHOWN = 10  # hits in a text
_SHOWN_HTML = 20  # hits, and thumbnails, in HTML
_QUERIES, _HITS_EACH = 5, 4  # of several queries
CONCEPTS = "concepts"  # column of hits that words found; a metadata column of this name is renamed
_METADATA_QUERY = "metadata.query"  # a metadata column ``query``, beside the number of the query


class Hits:
    """The hits of one query, nearest first; hits of equal distance are in ascending order of id.

    After re-ranking, hits are in the order of the reconstructed features; distances are still those of the codes.

    Attributes:
        ids: int64 or str ``(k,)``.
        distances: Hamming distances in bits, int32 ``(k,)``; asymmetric distances, and those of codes that are no bits,
            float32; or those to kept vectors, float64.
        measure: What distances are, in words, where codes are no bits or kept vectors were read; else empty, for
            Hamming and asymmetric distances of bits.
        vectors_read: Number of kept vectors that were read to find the hits.
        concepts: Of a search by words in an index that keeps concepts: for each hit, the classes through which it was
            found, the most important first, with their probabilities. None of other searches; read on first use.
    """

    def __init__(
        self,
        ids: NDArray[Any],
        distances: NDArray[np.int32],
        metadata: Callable[[Places], Metadata],
        codes: Callable[[Places], Codes],
        image_roots: Roots = (),
        columns: Sequence[str] = (),
        vectors: Callable[[Places], NDArray[np.uint8]] | None = None,
        measure: str = "",
        vectors_read: int = 0,
        concepts: Callable[[Places], Named] | None = None,
    ) -> None:
        """Not for users.

        Args:
            ids: See the class.
            distances: See the class.
            metadata: Fetches the metadata of hits.
            codes: Fetches the codes of hits.
            image_roots: Folders that images are in.
            columns: Names of the metadata columns that tables have even without hits.
            vectors: Fetches the kept vectors of hits, as they are stored.
            measure: See the class.
            vectors_read: See the class.
            concepts: Fetches the concepts of hits.
        """
        self.measure, self.vectors_read = measure, vectors_read
        self.ids = ids
        self.distances = distances
        self._metadata = metadata
        self._codes = codes
        self._image_roots = image_roots
        self._columns = columns
        self._vectors = vectors
        self._through = concepts

    @lazy
    def rows(self) -> Metadata:
        """Metadata of each hit; read on first use."""
        return self._metadata(np.arange(len(self)))

    @lazy
    def codes(self) -> Codes:
        """Packed codes of the hits, uint8 ``(k, w)``; read on first use."""
        return self._codes(np.arange(len(self)))

    @lazy
    def concepts(self) -> Named | None:
        """See the class."""
        return None if self._through is None else self._through(np.arange(len(self)))

    def kept_vectors(self) -> NDArray[np.uint8]:
        """Return the kept vectors as they are stored, uint8 ``(k, v)``; not for users."""
        return np.zeros((len(self), 0), np.uint8) if self._vectors is None else self._vectors(np.arange(len(self)))

    def take(self, places: Places) -> Hits:
        """Return some of the hits, in the order given."""
        fetch, through = self._vectors, self._through
        return Hits(
            self.ids[places],
            self.distances[places],
            lambda some: self._metadata(places[some]),
            lambda some: self._codes(places[some]),
            self._image_roots,
            self._columns,
            None if fetch is None else lambda some: fetch(places[some]),
            self.measure,
            self.vectors_read,
            None if through is None else lambda some: through(places[some]),
        )

    def measured(self, distances: NDArray[np.float64], measure: str, vectors_read: int) -> Hits:
        """Return the hits with other distances, which ``measure`` names, and for which vectors were read."""
        made = self.take(np.arange(len(self)))
        made.distances, made.measure, made.vectors_read = np.asarray(distances), measure, vectors_read
        return made

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return dicts of plain values with ``id``, ``distance`` and the metadata, ready for JSON."""
        found = zip(self.ids.tolist(), self.distances.tolist(), self.rows, strict=True)
        if self.concepts is None:
            return [{"id": id_, "distance": distance, **row} for id_, distance, row in found]
        return [
            {"id": id_, "distance": distance, CONCEPTS: known, **_renamed(row)}
            for (id_, distance, row), known in zip(found, self.concepts, strict=True)
        ]

    def to_numpy(self) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """Return `ids` and `distances`."""
        return self.ids, self.distances

    def to_pandas(self) -> Any:
        """Return a pandas data frame with ``id``, ``distance`` and the metadata columns.

        Raises:
            PlatformError: If pandas is not installed.
        """
        return tabular.to_pandas(self._own_columns(), self._metadata_columns())

    def to_arrow(self) -> Any:
        """Return a pyarrow table with ``id``, ``distance`` and the metadata columns.

        Raises:
            PlatformError: If pyarrow is not installed.
            DataError: If a metadata column holds values of several types.
        """
        return tabular.to_arrow(self._own_columns(), self._metadata_columns())

    def images(self) -> list[Image.Image | None]:
        """Return the image of each hit; None where neither its id nor a column is the path of an image."""
        return [hits_html.find_image(row, self._image_roots) for row in self.to_dicts()]

    def _own_columns(self) -> dict[str, NDArray[Any]]:
        return {"id": self.ids, "distance": self.distances}

    def _metadata_columns(self) -> dict[str, list[Any]]:
        if self.concepts is None:
            return tabular.by_column(self.rows, self._columns)
        known = {CONCEPTS: list(map(tabular.concepts_text, self.concepts))}
        return known | tabular.by_column(list(map(_renamed, self.rows)), _renamed(dict.fromkeys(self._columns)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with metadata and codes, without the index."""
        own = (self.ids, self.distances, self.rows, self.codes, self._image_roots, self._columns)
        return _unpickled, (*own, self.measure, self.vectors_read, self.concepts)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.to_dicts())

    def __getitem__(self, place: int) -> dict[str, Any]:
        return self.to_dicts()[place]

    def __repr__(self) -> str:
        if not len(self):
            return "Hits: none"
        more = f"\n... and {len(self) - _SHOWN:,} more" if len(self) > _SHOWN else ""
        said = f"\ndistance: {self.measure}" if self.measure else ""
        return tabular.to_text(self._first(_SHOWN)) + more + said

    def _repr_html_(self) -> str:
        if not len(self):
            return "<p>no hits</p>"
        return hits_html.hits_html(self._first(_SHOWN_HTML), self._image_roots, len(self) - _SHOWN_HTML)

    def _first(self, most: int) -> list[dict[str, Any]]:
        return self.take(np.arange(len(self))[:most]).to_dicts()


class BatchHits(Sequence[Hits]):
    """The hits of several queries: one `Hits` per query, in the order of the queries."""

    def __init__(self, hits: Sequence[Hits]) -> None:
        self._hits = tuple(hits)

    @property
    def ids(self) -> list[NDArray[Any]]:
        """Ids per query."""
        return [hits.ids for hits in self]

    @property
    def distances(self) -> list[NDArray[np.int32]]:
        """Distances per query."""
        return [hits.distances for hits in self]

    def to_dicts(self) -> list[list[dict[str, Any]]]:
        """Return `Hits.to_dicts` of every query."""
        return [hits.to_dicts() for hits in self]

    def to_numpy(self) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """Return ids and distances as arrays with one row per query.

        Rows of queries with fewer hits than others are padded: distances with -1 (asymmetric ones with NaN), int ids
        with -1, and str ids with the empty text. An int id may be -1 itself, so look at the distances to tell hits from
        padding.

        Returns:
            Ids, int64 or str ``(q, k)``, and distances, int32 or float32 ``(q, k)``; k is the largest number of hits.
        """
        ids = self.ids
        dtype = concatenate(ids).dtype
        fill = "" if dtype.kind == "U" else -1
        near = self.distances
        kind = np.result_type(*near) if near else np.dtype(np.int32)
        empty = -1 if kind.kind == "i" else np.nan
        return tabular.pad_rows(ids, fill, dtype), tabular.pad_rows(near, empty, kind)

    def to_pandas(self) -> Any:
        """Return a pandas data frame with a row per hit: ``query``, ``id``, ``distance`` and the metadata columns.

        ``query`` is the number of the query, from 0; a metadata column of this name becomes ``metadata.query``.

        Raises:
            PlatformError: If pandas is not installed.
        """
        return tabular.to_pandas(self._own_columns(), self._metadata_columns())

    def to_arrow(self) -> Any:
        """Return a pyarrow table with a row per hit: ``query``, ``id``, ``distance`` and the metadata columns.

        ``query`` is the number of the query, from 0; a metadata column of this name becomes ``metadata.query``.

        Raises:
            PlatformError: If pyarrow is not installed.
            DataError: If a metadata column holds values of several types.
        """
        return tabular.to_arrow(self._own_columns(), self._metadata_columns())

    def _own_columns(self) -> dict[str, NDArray[Any]]:
        none = np.zeros(0, np.int64)
        return {
            "query": np.repeat(np.arange(len(self)), [len(hits) for hits in self]),
            "id": concatenate(self.ids),
            "distance": np.concatenate(self.distances or [none.astype(np.int32)]),
        }

    def _metadata_columns(self) -> dict[str, list[Any]]:
        parts = [(len(hits), hits._metadata_columns()) for hits in self]
        names = dict.fromkeys(name for _, own in parts for name in own)
        columns = {name: [v for rows, own in parts for v in own.get(name, [None] * rows)] for name in names}
        return {_METADATA_QUERY if name == "query" else name: values for name, values in columns.items()}

    def __len__(self) -> int:
        return len(self._hits)

    @overload
    def __getitem__(self, place: int) -> Hits: ...
    @overload
    def __getitem__(self, place: slice) -> BatchHits: ...
    def __getitem__(self, place: int | slice) -> Hits | BatchHits:
        return BatchHits(self._hits[place]) if isinstance(place, slice) else self._hits[place]

    def __repr__(self) -> str:
        hits = sum(map(len, self))
        queries = "1 query" if len(self) == 1 else f"{len(self):,} queries"
        lines = [f"BatchHits: {queries}, {'1 hit' if hits == 1 else f'{hits:,} hits'}"]
        lines += [f"query {number}: {_one_line(hits)}" for number, hits in enumerate(self._hits[:_QUERIES])]
        lines += ["..."] if len(self) > _QUERIES else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        shown = self._hits[:_QUERIES]
        roots: Roots = shown[0]._image_roots if shown else ()
        return hits_html.batch_html([hits._first(_HITS_EACH) for hits in shown], roots, len(self) - _QUERIES)


def _renamed(row: dict[str, Any]) -> dict[str, Any]:
    return {f"metadata.{name}" if name == CONCEPTS else name: value for name, value in row.items()}


def _one_line(hits: Hits) -> str:
    """Write the first hits as ids with their distances."""
    pairs = zip(hits.ids[:_HITS_EACH].tolist(), hits.distances[:_HITS_EACH].tolist(), strict=True)
    shown = [f"{tabular.cell_text(id_)} ({tabular.cell_text(distance)})" for id_, distance in pairs]
    return ", ".join([*shown, "..."] if len(hits) > _HITS_EACH else shown) or "no hits"


def _unpickled(
    ids: NDArray[Any],
    distances: NDArray[np.int32],
    rows: Metadata,
    codes: Codes,
    image_roots: Roots,
    columns: Sequence[str],
    measure: str = "",
    vectors_read: int = 0,
    concepts: Named | None = None,
) -> Hits:
    def metadata(places: Places) -> Metadata:
        return [rows[place] for place in places.tolist()]

    def through(places: Places) -> Named:
        assert concepts is not None
        return [concepts[place] for place in places.tolist()]

    own = ids, distances, metadata, lambda places: codes[places], image_roots, columns
    return Hits(*own, None, measure, vectors_read, None if concepts is None else through)
