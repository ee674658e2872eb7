"""Re-ranking: the nearest hits in the order of features that the model reconstructs from their codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.errors import UsageError
from kinbits.hamming import Codes
from kinbits.index.hits import BatchHits, Hits
from kinbits.index.items import Encoder, are_codes, is_single

Vectors = NDArray[np.float32]
Find = Callable[[Codes, int | None], Any]  # one Hits for each code

LEAST, TIMES = 100, 10  # rerank=True takes 10 candidates per hit, and at least 100


class Reconstructor(Encoder, Protocol):
    """What re-ranking needs of a model, e.g. a `kinbits.HashModel` that was trained with a decoder."""

    def encode(self, items: Any, /, *, output: str = "codes") -> NDArray[Any]:
        """Return the codes of items, or their features, float32 ``(n, d)``, with ``output="features"``."""
        ...

    def tower(self) -> Any:
        """Return what has ``compute(features)``, which gives packed codes."""
        ...

    def reconstruct(self, codes: Codes, /) -> Vectors:
        """Return features that codes stand for, float32 ``(n, d)``; raise UsageError if the model never learned to."""
        ...


def reranked(
    query: Any, text: Any, model: Reconstructor | Encoder | None, rerank: int | bool, k: int | None, find: Find
) -> Hits | BatchHits:
    """Search by codes, and reorder the first hits.

    The order is the squared distance between the query's features and the features that the model reconstructs from the
    code of a hit. Hits of equal distance, such as items with the same code, stay in the order of the search.

    Args:
        query: One item or several that the model encodes; not codes, which have no features.
        text: Must be None, because texts have no image features.
        model: Model of the index.
        rerank: Number of hits to reorder; True for 10 k and at least 100. Further hits follow in their order.
        k: Maximum number of hits; None for all.
        find: Searches for codes ``(q, w)`` with a maximum number of hits.

    Raises:
        UsageError: If the query is codes or a text, or the model has no decoder.
    """
    depth = max(LEAST, TIMES * (k or 0)) if rerank is True else hamming.check_count(rerank, "rerank")
    able = _require_decoder(model)
    if query is None or text is not None:
        raise UsageError("rerank compares image features; pass a query instead of text=")
    if are_codes(query, model, able.bits):
        raise UsageError(
            "rerank compares features, and packed codes have none; search with the image or vector itself, or without "
            "rerank"
        )
    vectors = able.encode(query, output="features")
    hits = find(able.tower().compute(vectors), None if k is None else max(k, depth))
    ordered = [_again(found, vector, able, depth, k) for found, vector in zip(hits, vectors, strict=True)]
    return ordered[0] if is_single(query, model, len(ordered)) else BatchHits(ordered)


def _require_decoder(model: Any) -> Reconstructor:
    if model is None:
        raise UsageError("rerank needs the index's model; pass model= when it is created or opened")
    if not all(hasattr(model, name) for name in ("tower", "reconstruct")):
        raise UsageError(
            f"rerank needs a model with a decoder, and {type(model).__name__} has none; train one with method "
            f"'rankhash', or search without rerank"
        )
    model.reconstruct(np.zeros((0, hamming.code_width(model.bits)), np.uint8))  # raises if there is no decoder
    able: Reconstructor = model
    return able


def _again(hits: Hits, vector: Vectors, model: Reconstructor, depth: int, k: int | None) -> Hits:
    depth = min(depth, len(hits))
    if not depth:
        return hits.take(np.arange(len(hits))[:k])
    distinct, which = np.unique(hits.take(np.arange(depth)).codes, axis=0, return_inverse=True)
    away = np.square(model.reconstruct(distinct) - vector, dtype=np.float64).sum(axis=1)[which.reshape(-1)]
    order = np.concatenate([np.argsort(away, kind="stable"), np.arange(depth, len(hits))])
    return hits.take(order[:k])
