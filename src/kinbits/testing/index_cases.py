"""Indexes and items for the conformance check of indexes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.index import SearchIndex, Supports
from kinbits.testing.assertions import hit_pairs, require_equal, true_hits

MakeIndex = Callable[..., SearchIndex]


class Maker:
    """Creates and reopens indexes, each at a new location."""

    def __init__(self, make: MakeIndex, open_index: MakeIndex | None, folder: Path | None, scratch: Path) -> None:
        self._make, self._open, self._folder, self._scratch = make, open_index, folder, scratch
        self._number = count()
        self.supports = Supports()
        self.supports = getattr(self.new(8), "supports", self.supports)

    def new(self, bits: int, model: Any = None, ids: Sequence[Any] = (), words: int = hamming.BITS) -> Any:
        """Make an empty index at a new place."""
        path = self._folder / f"check-{next(self._number)}" if self._folder else None
        kind = {} if self.supports.either_ids else {"ids": "str" if ids and isinstance(ids[0], str) else "int"}
        return self._make(path, bits=bits, model=model, **kind, **hamming.stated_kind(words))

    def reopened(self, index: Any, model: Any = None) -> Any:
        """Return a saved copy of an index; where saving is not supported, the index opened again."""
        if not self.supports.save:
            return (self._open or type(index).open)(index.info()["path"], model=model)
        path = self._scratch / f"copy-{next(self._number)}"
        index.save(path)
        return (self._open or type(index).open)(path, model=model)


class Case:
    """Random codes with many ties, ids, a column, and the hits by brute force."""

    def __init__(self, maker: Maker, bits: int, ids: Sequence[Any], words: int) -> None:
        rng = np.random.default_rng(bits)
        self.maker, self.bits, self.ids, self.words = maker, bits, list(ids), words
        self.supports = maker.supports
        few = random_codes(rng, 11, bits, words)
        self.codes = few[rng.integers(0, 9, len(ids))]  # 60 items with 9 codes
        self.queries: NDArray[Any] = few[[0, 1, 9, 10]]
        if words != hamming.BITS:
            parts, entries = hamming.table_shape(bits, words)
            self.queries = rng.integers(0, 4, (4, parts, entries)).astype(np.float32)
            self.queries[:, -1, 1] = 0  # slack, of scaled codes
        near = np.concatenate([self.near(query, self.codes) for query in self.queries])
        middle, last = sorted(near.tolist())[len(near) // 2], near.max().item()
        self.radii = (0, 1, bits // 2, bits) if words == hamming.BITS else (near.min().item(), middle, last)
        self.years = rng.integers(2000, 2010, len(ids)).tolist()

    def new(self) -> Any:
        """Make an empty index."""
        return self.maker.new(self.bits, ids=self.ids, words=self.words)

    def near(self, query: NDArray[Any], codes: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the distances of a query to codes ``(n,)``."""
        away = hamming.distances if self.words == hamming.BITS else hamming.table_distances
        found: NDArray[Any] = away(query[None], codes)[0]
        return found

    def ask(self, index: Any, query: NDArray[Any], k: int | None = None, **options: Any) -> Any:
        """Search for a single query."""
        if self.words == hamming.BITS:
            return index.search(query, k, **options)
        return index.search(query[None], k, **options)[0]

    def filled(self, parts: int = 3) -> Any:
        """Make an index of all items, added in random order and several parts."""
        index = self.new()
        order = np.random.default_rng(0).permutation(len(self.ids))
        for rows in np.array_split(order, parts):
            self.add(index, rows)
        return index

    def add(self, index: Any, rows: NDArray[np.int64], **options: Any) -> None:
        """Add items by their row numbers."""
        ids, years = [self.ids[row] for row in rows], [self.years[row] for row in rows]
        index.add(self.codes[rows], ids=ids, metadata={"year": years} if self.supports.metadata else None, **options)

    def expected(
        self, query: NDArray[Any], k: int | None = None, radius: float | None = None, keep: Any = None
    ) -> list[tuple[float, Any]]:
        """Return distance and id of the hits by brute force; ``keep`` names the rows that may be found."""
        near = self.near(query, self.codes).tolist()
        kept = range(len(self.ids)) if keep is None else keep
        found = sorted((near[row], self.ids[row]) for row in kept if radius is None or near[row] <= radius)
        return found[:k]

    def compare(self, index: Any, promise: str, keep: Any = None, where: Any = None, **asked: Any) -> None:
        """Search for every query, alone and in a batch."""
        exact = self.supports.exact_radius if "radius" in asked else self.supports.exact
        if where is not None:
            exact = exact and self.supports.exact_filters if "radius" in asked else self.supports.exact_filters
        alone = [self.ask(index, query, where=where, **asked) for query in self.queries]
        together = index.search(self.queries, where=where, **asked)
        for query, *answers in zip(self.queries, alone, together, strict=True):
            for hits in answers:
                expected = self.expected(query, keep=keep, **asked)
                if not exact:
                    whole = self.expected(query, radius=asked.get("radius"), keep=keep)
                    expected = true_hits(hit_pairs(hits), whole, len(expected))
                require_equal(hit_pairs(hits), expected, f"{promise}, {self.bits} bits")


def random_codes(rng: np.random.Generator, rows: int, bits: int, words: int) -> NDArray[np.uint8]:
    """Return random codes of a length and kind, uint8 ``(rows, w)``."""
    if words == hamming.BITS:
        return hamming.pack(rng.random((rows, bits)) < 0.5)
    if words == hamming.SCALED:
        digits = rng.integers(0, 256, (rows, bits // 8 - hamming.FACTOR_BYTES), np.uint8)
        return hamming.join_factors(digits, rng.integers(0, 3, (rows, 3)).astype(np.float32))
    numbers = rng.integers(0, words, (rows, hamming.part_count(bits, words)), np.uint8)
    return hamming.pack_words(numbers, words)
