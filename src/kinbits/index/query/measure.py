"""What the distances of hits are, in words."""

from __future__ import annotations

from typing import Any

from kinbits.hamming import BITS, SCALED
from kinbits.index.linked_model import metric_of

METRICS = {"cosine": "1 - cosine", "inner": "minus the inner product", "euclidean": "squared Euclidean distance"}
_TO_WORDS = {
    "cosine": "squared Euclidean distance of vectors of length 1 to",
    "inner": "minus the inner product with",
    "euclidean": "squared Euclidean distance to",
    "norms": "sum over all parts of the Euclidean distance to",
}


def measure_of(words: int, model: Any) -> str:
    """Return what distances of codes are, as far as the model of an index says it; empty for bits.

    Args:
        words: Words of a part of a code.
        model: Model of the index, which is not loaded for this, or None.
    """
    if words == BITS:
        return ""
    metric = metric_of(model) or ""
    if words == SCALED:
        return f"{METRICS.get(metric, 'distance')}, estimated by scaled codes"
    return f"{_TO_WORDS.get(metric, 'asymmetric distance to')} product codes, in the unit of the method"
