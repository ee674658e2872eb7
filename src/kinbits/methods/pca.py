"""PCA hashing: signs of principal components."""

from __future__ import annotations

from torch import Tensor

from kinbits.methods.base import TrainView
from kinbits.methods.blocks.projection import Projection
from kinbits.methods.registry import register


@register("pca")
class Pca(Projection):
    """Take the signs of the first K principal components.

    Reference: X.-J. Wang, L. Zhang, F. Jing, W.-Y. Ma, "AnnoSearch: Image Auto-Annotation by Search", CVPR
    2006.
    """

    def projection(self, train: TrainView) -> Tensor:
        """Return the principal axes."""
        return self.principal(train)
