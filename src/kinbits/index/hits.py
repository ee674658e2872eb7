"""Search results: small objects that print well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from kinbits._util import lazy, printable, shortened
from kinbits.hamming import Codes

Metadata = list[dict[str, Any]]
Places = NDArray[np.int64]

_SHOWN = 20
_WIDEST = 60  # characters of a value in a table


class Hits:
    """What one query found, nearest first; equal distances in ascending order of id.

    After re-ranking, in the order of that: the distances are still those of the codes.

    Attributes:
        ids: int64 or str ``(k,)``.
        distances: Hamming distances in bits, int32 ``(k,)``.
    """

    def __init__(
        self,
        ids: NDArray[Any],
        distances: NDArray[np.int32],
        metadata: Callable[[Places], Metadata],
        codes: Callable[[Places], Codes],
    ) -> None:
        """Not for users; ``metadata`` and ``codes`` fetch those of some of the hits."""
        self.ids = ids
        self.distances = distances
        self._metadata = metadata
        self._codes = codes

    @lazy
    def rows(self) -> Metadata:
        """Metadata of each hit; read when it is first asked for."""
        return self._metadata(np.arange(len(self)))

    @lazy
    def codes(self) -> Codes:
        """Packed codes of the hits, uint8 ``(k, w)``; read when they are first asked for."""
        return self._codes(np.arange(len(self)))

    def take(self, places: Places) -> Hits:
        """Return some of the hits, in the order given."""
        return Hits(
            self.ids[places],
            self.distances[places],
            lambda some: self._metadata(places[some]),
            lambda some: self._codes(places[some]),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with metadata and codes: the index stays behind."""
        return _unpickled, (self.ids, self.distances, self.rows, self.codes)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return plain dicts with ``id``, ``distance`` and the metadata, ready for JSON."""
        found = zip(self.ids.tolist(), self.distances.tolist(), self.rows, strict=True)
        return [{"id": id_, "distance": distance, **row} for id_, distance, row in found]

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.to_dicts())

    def __getitem__(self, place: int) -> dict[str, Any]:
        return self.to_dicts()[place]

    def __repr__(self) -> str:
        if not len(self):
            return "Hits: none"
        shown = self.take(np.arange(len(self))[:_SHOWN])
        more = f"\n... and {len(self) - _SHOWN} more" if len(self) > _SHOWN else ""
        return _table(shown.to_dicts()) + more


class BatchHits(Sequence[Hits]):
    """What several queries found: one `Hits` per query, in their order."""

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

    def __len__(self) -> int:
        return len(self._hits)

    @overload
    def __getitem__(self, place: int) -> Hits: ...
    @overload
    def __getitem__(self, place: slice) -> BatchHits: ...
    def __getitem__(self, place: int | slice) -> Hits | BatchHits:
        return BatchHits(self._hits[place]) if isinstance(place, slice) else self._hits[place]

    def __repr__(self) -> str:
        shown = [f"query {number}\n{hits!r}" for number, hits in enumerate(self._hits[:_SHOWN])]
        more = [f"... and {len(self) - _SHOWN} more queries"] if len(self) > _SHOWN else []
        return "\n\n".join([*shown, *more]) or "BatchHits: no query"


def _unpickled(ids: NDArray[Any], distances: NDArray[np.int32], rows: Metadata, codes: Codes) -> Hits:
    return Hits(ids, distances, lambda places: [rows[place] for place in places.tolist()], lambda places: codes[places])


def _table(rows: list[dict[str, Any]]) -> str:
    """Lay dicts of the same keys out in columns; what is no text to the right."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    heads = list(map(_cell, names))
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    right = [not any(isinstance(row.get(name), str) for row in rows) for name in names]

    def line(values: Sequence[str]) -> str:
        padded = zip(values, widths, right, strict=True)
        return "  ".join(v.rjust(w) if r else v.ljust(w) for v, w, r in padded).rstrip()

    return "\n".join(map(line, [heads, *cells]))


def _cell(value: Any) -> str:
    """Write a value in one line that a terminal shows and does not obey."""
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return shortened(printable(" ".join(text.split())), _WIDEST)
