"""Small models for checks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming


class ToyModel:
    """Encodes text by its bytes."""

    bits = 16

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint

    def encode(self, items: Any, /) -> NDArray[np.uint8]:
        """Return packed codes."""
        texts = [items] if isinstance(items, str) else list(items)
        return np.array([list(text.encode()[:2]) for text in texts], np.uint8).reshape(-1, 2)


class ToyDecoder:
    """Encodes vectors by their signs, and reconstructs one value for each bit."""

    bits, fingerprint = 12, "d" * 64
    sizes = np.linspace(0.2, 2.0, 12).astype(np.float32)

    def tower(self) -> ToyDecoder:
        """Return what turns features into codes: the model itself."""
        return self

    def compute(self, features: NDArray[np.float32], /) -> NDArray[np.uint8]:
        """Return the packed signs of vectors."""
        return hamming.pack(features >= 0)

    def encode(self, items: Any, /, *, output: str = "codes") -> NDArray[Any]:
        """Return packed codes, or the items as float32 rows, which are their features."""
        features = np.atleast_2d(np.asarray(items, np.float32))
        return features if output == "features" else self.compute(features)

    def reconstruct(self, codes: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Return a vector for each code."""
        return np.where(hamming.unpack(codes, self.bits), self.sizes, -self.sizes).astype(np.float32)
