"""All pairs of near codes, as arrays; large classes of equal codes are linked to one of them only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits._util import lazy
from kinbits.errors import UsageError
from kinbits.hamming import Codes, MultiIndex

Rows = NDArray[np.int64]
MOST_EQUAL = 256  # rows of one code whose pairs are all listed
MOST_PAIRS = 100_000_000
FEW = 50_000  # codes: comparing all of them takes less time than tables
_BLOCK = 1024


@dataclass(frozen=True)
class NearPairs:
    """Pairs of rows.

    Attributes:
        first: Rows, ``(p,)``.
        second: Rows, ``(p,)``.
        distances: Bits between the two, int32 ``(p,)``.
    """

    first: Rows
    second: Rows
    distances: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.first)

    def only(self, kept: NDArray[np.bool_]) -> NearPairs:
        """Return some of the pairs."""
        return NearPairs(self.first[kept], self.second[kept], self.distances[kept])

    def without(self, first: Rows, second: Rows, n: int) -> NearPairs:
        """Return the pairs that are not among others; rows are below n."""
        return self.only(~np.isin(pair_keys(self.first, self.second, n), pair_keys(first, second, n)))

    def within(self, radius: int) -> NearPairs:
        """Return the pairs within a radius."""
        return self.only(self.distances <= radius)

    def items_with_partner(self, n: int, bits: int) -> NDArray[np.int64]:
        """Return for each radius the number of items that have another one within it, int64 ``(bits + 1,)``."""
        nearest = np.full(n, bits + 1, np.int64)
        np.minimum.at(nearest, self.first, self.distances)
        np.minimum.at(nearest, self.second, self.distances)
        return np.cumsum(np.bincount(nearest, minlength=bits + 2)[: bits + 1])


def pair_keys(first: Rows, second: Rows, n: int) -> Rows:
    """Return a number for each pair of rows below n, the same in either order, int64 ``(p,)``."""
    return np.minimum(first, second) * n + np.maximum(first, second)


class PairSearch:
    """Searches for all pairs of near codes; larger radii than before cost a new search.

    Args:
        codes: uint8 ``(n, w)``.
        rank: Rank of each row, ``(n,)``: the best row of a large class of equal codes stands for all of it.
    """

    def __init__(self, codes: Codes, rank: Rows) -> None:
        self._rows, self._links = _thinned(codes, rank)
        self._codes = codes[self._rows]
        self._radius, self._found = -1, NearPairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int32))

    def __call__(self, radius: int) -> NearPairs:
        """Return the pairs within a radius; of a large class of equal codes only the links to its best row.

        Raises:
            UsageError: If there are more pairs than fit into memory.
        """
        if radius > self._radius:
            self._found, self._radius = self._search(radius), radius
        return self._found.within(radius)

    @lazy
    def _index(self) -> MultiIndex:
        return MultiIndex.from_codes(self._codes)

    def _search(self, radius: int) -> NearPairs:
        chunks, total = [], 0
        for chunk in self._stream(radius):
            chunks.append(chunk)
            total += len(chunk[0])
            if total > MOST_PAIRS:
                raise UsageError(
                    f"more than {MOST_PAIRS:,} pairs are within {radius} bits; give a smaller radius, or codes of a "
                    "model that tells the images apart"
                )
        links = self._links
        first, second = ([*(self._rows[chunk[side]] for chunk in chunks), links[side]] for side in (0, 1))
        near = [*(chunk[2] for chunk in chunks), np.zeros(len(links[0]), np.int32)]
        return NearPairs(np.concatenate(first), np.concatenate(second), np.concatenate(near))

    def _stream(self, radius: int) -> Iterator[tuple[Rows, Rows, NDArray[np.int32]]]:
        """Yield pairs: by search tables where these are faster, or else by comparing all codes with all."""
        n = len(self._codes)
        if n > FEW and self._index.explain(radius=radius, queries=_BLOCK).strategy == "multi-index":
            yield from self._index.pairs(radius)
            return
        for start in range(0, n, _BLOCK):
            found = hamming.within(self._codes[start : start + _BLOCK], self._codes[start:], radius)
            counts = [len(rows) for _, rows in found]
            first = np.repeat(np.arange(len(found)), counts)
            second = np.concatenate([rows for _, rows in found])
            later = second > first
            near = np.concatenate([near for near, _ in found])[later]
            yield first[later] + start, second[later] + start, near


def _thinned(codes: Codes, rank: Rows) -> tuple[Rows, tuple[Rows, Rows]]:
    """Return the rows to search, and links of the others to the row that stands for them."""
    whole = np.ascontiguousarray(codes).view(np.dtype((np.void, codes.shape[1]))).ravel()
    order = _by_code(whole, rank)
    starts = np.flatnonzero(np.concatenate([[True], whole[order][1:] != whole[order][:-1]])) if len(order) else order
    counts = np.diff(np.append(starts, len(order)))
    best = np.repeat(order[starts], counts)
    linked = (np.repeat(counts, counts) > MOST_EQUAL) & (order != best)
    return np.sort(order[~linked]), (best[linked], order[linked])


def _by_code(whole: NDArray[np.void], rank: Rows) -> Rows:
    """Return the rows in the order of their codes, those of equal codes in the order of rank."""
    ranked = np.argsort(rank, kind="stable")
    return ranked[np.argsort(whole[ranked], kind="stable")]
