"""LSH: signs of random projections."""

from __future__ import annotations

import torch
from torch import Tensor

from kinbits.methods.base import TrainView
from kinbits.methods.blocks.projection import Projection
from kinbits.methods.registry import register


@register("lsh")
class Lsh(Projection):
    """Take the signs of K random Gaussian projections of the centred features.

    Two vectors at angle a differ in a bit with probability a / pi.

    Reference: M. Charikar, "Similarity Estimation Techniques from Rounding Algorithms", STOC 2002.
    """

    def projection(self, train: TrainView) -> Tensor:
        """Return Gaussian rows."""
        return torch.from_numpy(self.spec.rng.standard_normal((self.spec.bits, self.spec.feature_dim)))
