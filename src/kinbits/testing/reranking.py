"""The part of the conformance check of indexes that concerns re-ranking."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from kinbits.errors import UsageError
from kinbits.testing.judge import pairs, refuses, same, true_part
from kinbits.testing.toys import ToyDecoder, ToyModel


def check_reranking(maker: Any) -> None:
    """Check that re-ranking orders what the index itself finds by reconstructed features, and nothing else."""
    model, rng = ToyDecoder(), np.random.default_rng(0)
    items, queries = (rng.normal(size=(rows, model.bits)).astype(np.float32) for rows in (80, 5))
    index = maker.new(model.bits, model=model)
    index.add(items, ids=list(range(80)))
    guessed = dict(enumerate(model.reconstruct(model.encode(items)).astype(np.float64)))
    for query in queries:
        plain = pairs(index.search(model.encode(query)[0], k=30))
        ranked = sorted(plain, key=lambda hit: (round(float(((guessed[hit[1]] - query) ** 2).sum()), 9), *hit))
        found = pairs(index.search(query, k=7, rerank=30))
        same(found, true_part(found, ranked, 7), "re-ranked hits stand in the order of reconstructed features")
        same(found, ranked[:7], "re-ranking takes its hits from the nearest by code")
    refuses(UsageError, partial(index.search, model.encode(queries), rerank=30), "re-ranking for packed codes")
    plain_index = maker.new(16, model=ToyModel("a" * 64), ids=["a"] if maker.supports.string_ids else [1])
    refuses(UsageError, lambda: plain_index.search("kin", rerank=30), "re-ranking without a decoder")
