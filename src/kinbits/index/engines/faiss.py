"""Approximate search with faiss: a graph (HNSW) or inverted lists (IVF) in addition to an exact index.

The exact index stores the items. It answers searches for which faiss is no help: with a filter or a radius (binary HNSW
of faiss has no radius, IVF has no filter, and to evaluate a filter takes longer than a scan), in few items, and for
queries with too few hits. faiss only proposes candidates for the k nearest; distances and order come from the codes.
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
    """Options of `FaissHnsw`, see there."""

    m: int = 32
    ef_construction: int = 200
    ef_search: int = 128
    exact_below: int = 10_000


@dataclass(frozen=True)
class IvfOptions:
    """Options of `FaissIvf`, see there."""

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
        else:  # faiss visits deleted nodes without returning them; it stores only pointers, so keep both names
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
        index.cp.min_points_per_centroid = 1  # else faiss warns about few items
        index.cp.max_points_per_centroid = 32  # more make training eight times as long, and recall no better
        index.train(codes)
        index.add(codes)
        index.own_fields = True
        quantizer.this.disown()
        return cls(faiss, index)

    def candidates(self, codes: Codes, count: int, alive: NDArray[np.bool_], options: IvfOptions) -> Rows:
        self.index.nprobe = min(options.nprobe, self.index.nlist)
        fetch = count
        while True:  # lists contain deleted items: fetch more until enough are left
            fetch = min(fetch, len(alive))
            rows = np.asarray(self.index.search(codes, fetch)[1])
            living = (rows >= 0) & alive[rows]
            ended = fetch == len(alive) or bool((rows[:, -1] < 0).all())
            if ended or bool((living.sum(axis=1) >= count).all()):
                return np.where(living, rows, -1)
            fetch *= 2


@register_engine("faiss-hnsw")
class FaissHnsw(FaissIndex):
    """A graph of near codes (HNSW): fast search, slow construction, much memory.

    Options:
        m: Links per node; more increase recall and memory (32).
        ef_construction: Candidates per node during construction (200).
        ef_search: Candidates per query; `open_index` takes it, too (128).
        exact_below: Minimum number of items for a graph; below it, search is exact (10,000).

    Source: Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical
    Navigable Small World graphs" (2018), as implemented by faiss.
    """

    _searcher = _Hnsw
    _options = HnswOptions
    _fixed = ("m", "ef_construction", "exact_below")


@register_engine("faiss-ivf")
class FaissIvf(FaissIndex):
    """Lists of codes by their nearest centre (IVF), of which a query reads some: fast construction, little memory.

    The centres are trained when the lists are first built, and again after the number of items has grown fourfold.

    Options:
        nlist: Number of lists; 0 for four times the square root of the number of items (0).
        nprobe: Number of lists that a query reads; `open_index` takes it, too (64).
        exact_below: Minimum number of items for lists; below it, search is exact (10,000).
    """

    _searcher = _Ivf
    _options = IvfOptions
    _fixed = ("nlist", "exact_below")
    _retrain_at = 4
