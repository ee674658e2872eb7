"""What a search asks for."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypedDict, get_args

import numpy as np

from kinbits import hamming
from kinbits.backbones import Concepts
from kinbits.data import as_texts
from kinbits.encoding import CodesFile
from kinbits.errors import UsageError, unknown_name
from kinbits.hamming import Codes, Tables
from kinbits.index.filters.expression import Expression
from kinbits.index.filters.where import Where, parse_where
from kinbits.index.hits import BatchHits, Hits
from kinbits.index.items import Encoder, encode_query, query_tables, require_codes
from kinbits.index.query.words import MEASURE, WordQueries, word_queries
from kinbits.index.store.state import State

DEFAULT_K = 10  # hits of a search without limits

Distance = Literal["hamming", "asymmetric"]


class SearchOptions(TypedDict, total=False):
    """Keyword arguments of `Index.search`."""

    radius: float | None
    where: Where | None
    distance: Distance | None
    strategy: str
    rerank: int | bool
    rescore: int | None
    vectors: Any


class SearchRequest(NamedTuple):
    """A search whose arguments are checked.

    Attributes:
        queries: Codes to search for, uint8 ``(q, w)``; or, for the asymmetric distance, look-up tables, float32
            ``(q, parts, words)``.
        single: Whether the user gave one query, not a list of one.
        k: Maximum number of hits per query; None for all within the radius.
        radius: Maximum distance; None for the k nearest at any distance.
        where: Filter on the metadata; None for all items.
        strategy: How segments with search tables are searched.
        measure: What the distances are, in words; see `Hits`.
        words: Texts as weights of classes, which ``queries`` then hold; None for codes and tables.
    """

    queries: Codes | Tables
    single: bool
    k: int | None
    radius: float | None
    where: Expression | None
    strategy: str = "auto"
    measure: str = ""
    words: WordQueries | None = None

    @classmethod
    def from_query(
        cls,
        query: Any,
        text: Any,
        model: Encoder | None,
        bits: int,
        fingerprint: str | None,
        *,
        k: int | None = None,
        radius: float | None = None,
        where: Where | None = None,
        distance: Distance = "hamming",
        strategy: str = "auto",
        words: int = hamming.BITS,
    ) -> SearchRequest:
        """Check the arguments of a search, and encode its query for an index of ``bits`` bits and a ``fingerprint``.

        Raises:
            UsageError: If ``k``, ``radius`` or ``where`` cannot be used, or the query needs a model.
            DataError: If the query's codes do not fit.
            ArtefactError: If the query's codes are of another model than the index.
        """
        k, radius = check_limits(k, radius, distance)
        if isinstance(query, CodesFile):
            require_codes(query, State(bits, fingerprint, words=words))  # also if the index has no model to encode with
        queries: Codes | Tables
        if distance == "hamming":
            queries, single = encode_query(query, text, model, bits)
        else:
            queries, single = query_tables(query, text, model, bits, words)
        return cls(queries, single, k, radius, parse_where(where), strategy)

    @classmethod
    def from_words(
        cls,
        text: Any,
        state: State,
        concepts: Concepts,
        *,
        k: int | None = None,
        radius: float | None = None,
        where: Where | None = None,
    ) -> SearchRequest:
        """Check the arguments of a search by words in an index that keeps concepts.

        Raises:
            UsageError: If ``k``, ``radius`` or ``where`` cannot be used.
            DataError: If there is no text, or one is empty.
            PlatformError: If the sentence encoder or the names of the classes are not installed.
        """
        k, radius = check_limits(k, radius, "asymmetric")  # which takes any number, too
        if radius is not None and not 0 <= radius <= 1:
            raise UsageError(f"radius={radius}: distances of a text and classes are from 0 to 1; give such a number")
        texts = as_texts(text).texts or ()
        condition = parse_where(where)
        words = word_queries(texts, state, concepts)
        single = isinstance(text, str)
        return cls(words.weights, single, k, radius, condition, measure=MEASURE, words=words)

    @property
    def codes(self) -> Codes:
        """The codes of a search by Hamming distance."""
        return np.asarray(self.queries, np.uint8)

    @property
    def tables(self) -> Tables | None:
        """The look-up tables of a search by asymmetric distance; None for one by Hamming distance."""
        return np.asarray(self.queries) if self.queries.dtype == np.float32 else None

    def result(self, hits: list[Hits]) -> Hits | BatchHits:
        """Return one `Hits` for a single query, `BatchHits` for several."""
        return hits[0] if self.single else BatchHits(hits)


def distance_of(distance: Distance | None, words: int) -> Distance:
    """Return the distance of a search: that of the kind of codes, if none is given.

    Raises:
        UsageError: If codes that are no bits are to be compared by Hamming distance.
    """
    if words == hamming.BITS:
        return distance or "hamming"
    if distance == "hamming":
        raise UsageError(
            f"{hamming.kind_name(words)} have no Hamming distance; leave the distance out, or take 'asymmetric'"
        )
    return distance or "asymmetric"


def check_limits(k: int | None, radius: float | None, distance: str = "hamming") -> tuple[int | None, float | None]:
    """Check the limits of a search; without limits, it finds 10 hits.

    Args:
        k: Maximum number of hits.
        radius: Maximum distance: a number of bits, or of the unit of the logits for the asymmetric distance.
        distance: ``"hamming"`` or ``"asymmetric"``.

    Raises:
        UsageError: If one of them is negative or no number, or the distance is unknown.
    """
    if distance not in get_args(Distance):
        raise unknown_name("distance", str(distance), get_args(Distance))
    if k is None and radius is None:
        return DEFAULT_K, None
    return (
        None if k is None else hamming.check_count(k, "k"),
        None if radius is None else _check_radius(radius, distance),
    )


def _check_radius(radius: float, distance: str) -> float:
    if distance == "hamming":
        return hamming.check_count(radius, "radius")  # type: ignore[arg-type]
    return hamming.check_number(radius, "radius")  # inner products have negative distances
