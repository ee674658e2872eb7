"""The conformance check of indexes: the asymmetric distance."""

from __future__ import annotations

from typing import Any

import numpy as np

from kinbits.errors import UsageError
from kinbits.hamming import sign_tables, unpack
from kinbits.testing.assertions import hit_pairs, require_equal, require_raises

_BITS, _ROWS = 20, 70


def check_asymmetric(maker: Any) -> None:
    """Check that an asymmetric search finds the items with the smallest weight of differing bits, ties by id."""
    rng = np.random.default_rng(0)
    codes = np.packbits(rng.random((_ROWS, _BITS)) < 0.5, axis=1)
    codes[40:] = codes[:30]  # ties
    logits = rng.integers(-8, 8, (3, _BITS)) + 0.5  # sums are exact
    index = maker.new(_BITS)
    index.add(codes, ids=list(range(_ROWS)))
    if not maker.supports.asymmetric:
        require_raises(
            UsageError, lambda: index.search(sign_tables(logits), distance="asymmetric"), "the asymmetric distance"
        )
        return
    weights = (np.abs(logits)[:, None] * ((logits[:, None] >= 0) != unpack(codes, _BITS))).sum(2)
    for weight, hits in zip(weights, index.search(sign_tables(logits), k=25, distance="asymmetric"), strict=True):
        expected = sorted(zip(weight.tolist(), range(_ROWS), strict=True))[:25]
        require_equal(hit_pairs(hits), expected, "an asymmetric search finds the nearest, ties by id")
