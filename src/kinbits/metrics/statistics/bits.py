"""Shares and correlations of the bits of a set of codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinbits import hamming
from kinbits._util import lazy
from kinbits.metrics.groups import Floats
from kinbits.metrics.relevance import Codes

_CHUNK = 1 << 16  # codes unpacked at one time


@dataclass(frozen=True)
class Bits:
    """Sums over n codes of K bits, taken as -1 and +1.

    Attributes:
        share: Share of ones of each bit, float64 ``(K,)``.
        products: Mean product of every two bits, B^T B / n, float64 ``(K, K)``.
    """

    share: Floats
    products: Floats

    @classmethod
    def from_codes(cls, codes: Codes, bits: int) -> Bits:
        """Count the bits of codes ``(n, w)``."""
        ones, products = np.zeros(bits), np.zeros((bits, bits))
        for start in range(0, len(codes), _CHUNK):
            flags = hamming.unpack(codes[start : start + _CHUNK], bits)
            signs = flags.astype(np.float32) * 2 - 1
            ones += flags.sum(axis=0)
            products += signs.T @ signs  # exact in float32: below 2^24
        return cls(ones / len(codes), products / len(codes))

    @property
    def dead(self) -> np.ndarray:
        """Which bits are the same in all codes, bool ``(K,)``."""
        return np.asarray((self.share == 0) | (self.share == 1))

    @property
    def imbalance(self) -> float:
        """Mean of |2p - 1|: 0 where every bit is set in half of the codes, 1 where none ever changes."""
        return float(np.abs(2 * self.share - 1).mean())

    @property
    def entropy(self) -> float:
        """Mean entropy of a bit, in bits: 1 where each is set in half of the codes."""
        p = np.stack([self.share, 1 - self.share])
        logarithm = np.log2(p, out=np.zeros_like(p), where=p > 0)
        return float(-(p * logarithm).sum(axis=0).mean())

    @lazy
    def correlations(self) -> Floats:
        """Correlation of every two bits, ``(K, K)``; NaN for dead ones."""
        mean = 2 * self.share - 1
        deviation = np.sqrt(np.where(self.dead, np.nan, 1 - mean**2))
        return np.asarray((self.products - np.outer(mean, mean)) / np.outer(deviation, deviation))

    @property
    def correlation(self) -> float:
        """Mean absolute correlation of two different bits that are not dead; 0 where there are no two."""
        live = np.flatnonzero(~self.dead)
        if len(live) < 2:
            return 0.0
        absolute = np.abs(self.correlations[np.ix_(live, live)])
        return float((absolute.sum() - len(live)) / (len(live) * (len(live) - 1)))

    @property
    def dependence(self) -> float:
        """Squared Frobenius norm of B^T B / n - I, a term of many losses; blind to dead bits."""
        return float(((self.products - np.eye(len(self.share))) ** 2).sum())
