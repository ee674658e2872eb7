"""What a search asks for."""

from __future__ import annotations

from typing import Any, NamedTuple, TypedDict

from kinbits import hamming
from kinbits.encoding import CodesFile
from kinbits.hamming import Codes
from kinbits.index.filters.expression import Expression
from kinbits.index.filters.where import Where, parse_where
from kinbits.index.hits import BatchHits, Hits
from kinbits.index.items import Encoder, encode_query, require_codes
from kinbits.index.store.state import State

DEFAULT_K = 10  # hits of a search without limits


class SearchOptions(TypedDict, total=False):
    """Keyword arguments of `Index.search`."""

    radius: int | None
    where: Where | None
    strategy: str
    rerank: int | bool


class SearchRequest(NamedTuple):
    """A search whose arguments are checked.

    Attributes:
        codes: Codes to search for, uint8 ``(q, w)``.
        single: Whether the user gave one query, not a list of one.
        k: Maximum number of hits per query; None for all within the radius.
        radius: Maximum Hamming distance in bits; None for the k nearest at any distance.
        where: Filter on the metadata; None for all items.
        strategy: How segments with search tables are searched.
    """

    codes: Codes
    single: bool
    k: int | None
    radius: int | None
    where: Expression | None
    strategy: str = "auto"

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
        radius: int | None = None,
        where: Where | None = None,
        strategy: str = "auto",
    ) -> SearchRequest:
        """Check the arguments of a search, and encode its query for an index of ``bits`` bits and a ``fingerprint``.

        Raises:
            UsageError: If ``k``, ``radius`` or ``where`` cannot be used, or the query needs a model.
            DataError: If the query's codes do not fit.
            ArtefactError: If the query's codes are of another model than the index.
        """
        k, radius = check_limits(k, radius)
        if isinstance(query, CodesFile):
            require_codes(query, State(bits, fingerprint))  # also if the index has no model to encode with
        codes, single = encode_query(query, text, model, bits)
        return cls(codes, single, k, radius, parse_where(where), strategy)

    def result(self, hits: list[Hits]) -> Hits | BatchHits:
        """Return one `Hits` for a single query, `BatchHits` for several."""
        return hits[0] if self.single else BatchHits(hits)


def check_limits(k: int | None, radius: int | None) -> tuple[int | None, int | None]:
    """Check the limits of a search; without limits, it finds 10 hits.

    Raises:
        UsageError: If one of them is negative or no integer.
    """
    if k is None and radius is None:
        return DEFAULT_K, None
    return (
        None if k is None else hamming.check_count(k, "k"),
        None if radius is None else hamming.check_count(radius, "radius"),
    )
