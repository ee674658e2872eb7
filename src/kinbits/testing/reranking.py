"""The conformance check of indexes: re-ranking."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from kinbits.errors import UsageError
from kinbits.testing.assertions import hit_pairs, require_equal, require_raises, true_hits
from kinbits.testing.toy_models import ToyDecoder, ToyModel


def check_reranking(maker: Any) -> None:
    """Check that re-ranking orders the hits of the index by reconstructed features."""
    model, rng = ToyDecoder(), np.random.default_rng(0)
    items, queries = (rng.normal(size=(rows, model.bits)).astype(np.float32) for rows in (80, 5))
    index = maker.new(model.bits, model=model)
    index.add(items, ids=list(range(80)))
    guessed = dict(enumerate(model.reconstruct(model.encode(items)).astype(np.float64)))
    for query in queries:
        plain = hit_pairs(index.search(model.encode(query)[0], k=30))
        ranked = sorted(plain, key=lambda hit: (round(float(((guessed[hit[1]] - query) ** 2).sum()), 9), *hit))
        found = hit_pairs(index.search(query, k=7, rerank=30))
        require_equal(found, true_hits(found, ranked, 7), "re-ranked hits are in the order of reconstructed features")
        require_equal(found, ranked[:7], "re-ranking takes its hits from the nearest by code")
    require_raises(UsageError, partial(index.search, model.encode(queries), rerank=30), "re-ranking for packed codes")
    plain_index = maker.new(16, model=ToyModel("a" * 64), ids=["a"] if maker.supports.string_ids else [1])
    require_raises(UsageError, lambda: plain_index.search("kin", rerank=30), "re-ranking without a decoder")
