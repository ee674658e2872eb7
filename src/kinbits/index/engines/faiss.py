"""Approximate search by faiss: a graph (HNSW) or inverted lists (IVF) beside an embedded index.

The embedded index holds the items and answers whatever faiss has no good answer to: filters and radii
(faiss's binary HNSW knows no radius, its IVF no filter, and evaluating a filter takes longer than our scan),
few items, and queries for which faiss found fewer hits than there are. faiss only proposes candidates for the
k nearest; their distances are computed from the stored codes, and their order is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits.hamming import Codes
from kinbits.index.engines.faiss_graph import Searcher
from kinbits.index.engines.faiss_index import FaissIndex
from kinbits.index.engines.registry import register_engine
from kinbits.index.engines.snapshot import Rows


@dataclass(frozen=True)
class HnswOptions:
    """Options of `FaissHnsw`, with faiss's names."""

    m: int = 32
    ef_construction: int = 200
    ef_search: int = 128
    exact_below: int = 10_000


@dataclass(frozen=True)
class IvfOptions:
    """Options of `FaissIvf`, with faiss's names."""

    nlist: int = 0
    nprobe: int = 64
    exact_below: int = 10_000


class _Hnsw(Searcher):
    kind = "IndexBinaryHNSW"

    @classmethod
    def from_codes(cls, faiss: Any, codes: Codes, options: HnswOptions) -> _Hnsw:
        index = faiss.IndexBinaryHNSW(codes.shape[1] * 8, options.m)
        index.hnsw.efConstruction = options.ef_construction
        index.add(codes)
        return cls(faiss, index)

    def candidates(self, codes: Codes, count: int, alive: NDArray[np.bool_], options: HnswOptions) -> Rows:
        width = max(options.ef_search, count)
        if alive.all():
            parameters = self.faiss.SearchParametersHNSW(efSearch=width)
        else:  # dead nodes are walked over, not returned; faiss holds pointers only, so the names must live
            selector = self.faiss.IDSelectorBitmap(np.packbits(alive, bitorder="little"))
            parameters = self.faiss.SearchParametersHNSW(efSearch=width, sel=selector)
        return np.asarray(self.index.search(codes, count, params=parameters)[1])


class _Ivf(Searcher):
    kind = "IndexBinaryIVF"

    @classmethod
    def from_codes(cls, faiss: Any, codes: Codes, options: IvfOptions) -> _Ivf:
        lists = min(options.nlist or int(4 * len(codes) ** 0.5) + 1, len(codes))
        quantizer = faiss.IndexBinaryFlat(codes.shape[1] * 8)
        index = faiss.IndexBinaryIVF(quantizer, codes.shape[1] * 8, lists)
        index.cp.min_points_per_centroid = 1  # faiss would print a warning about few items
        index.cp.max_points_per_centroid = 32  # of more, training takes eight times as long and finds no more
        index.train(codes)
        index.add(codes)
        index.own_fields = True
        quantizer.this.disown()
        return cls(faiss, index)

    def candidates(self, codes: Codes, count: int, alive: NDArray[np.bool_], options: IvfOptions) -> Rows:
        self.index.nprobe = min(options.nprobe, self.index.nlist)
        fetch = count
        while True:  # the lists know nothing of deletions: ask for more until enough of it lives
            fetch = min(fetch, len(alive))
            rows = np.asarray(self.index.search(codes, fetch)[1])
            living = (rows >= 0) & alive[rows]
            ended = fetch == len(alive) or bool((rows[:, -1] < 0).all())
            if ended or bool((living.sum(axis=1) >= count).all()):
                return np.where(living, rows, -1)
            fetch *= 2


@register_engine("faiss-hnsw")
class FaissHnsw(FaissIndex):
    """A graph of near codes, walked from node to node: quick answers, slow to build, much memory.

    Options:
        m: Links per node; more find more and take more memory (32).
        ef_construction: How widely the graph is searched while it is built (200).
        ef_search: How widely a query searches; may be given to `open_index` too (128).
        exact_below: With fewer items there is no graph and search is exact (10,000).

    Source: Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical
    Navigable Small World graphs" (2018), as implemented by faiss.
    """

    _searcher = _Hnsw
    _options = HnswOptions
    _fixed = ("m", "ef_construction", "exact_below")


@register_engine("faiss-ivf")
class FaissIvf(FaissIndex):
    """Codes in lists by their nearest centre, of which a query reads some: quick to build, little memory.

    The centres are trained when the lists are first built, and again when four times as many items are held.

    Options:
        nlist: How many lists; 0 for four times the square root of the items (0).
        nprobe: How many lists a query reads; may be given to `open_index` too (64).
        exact_below: With fewer items there are no lists and search is exact (10,000).
    """

    _searcher = _Ivf
    _options = IvfOptions
    _fixed = ("nlist", "exact_below")
    _retrain_at = 4
