"""PCA hashing after a random rotation."""

from __future__ import annotations

from torch import Tensor

from kinbits.methods.base import TrainView
from kinbits.methods.blocks.projection import Projection, random_rotation
from kinbits.methods.registry import register


@register("pca-rotation")
class PcaRotation(Projection):
    """Rotate the first K principal components at random, so that the bits share the variance, and take signs.

    Reference: H. Jegou, M. Douze, C. Schmid, P. Perez, "Aggregating Local Descriptors into a Compact Image
    Representation", CVPR 2010; the start of ITQ.
    """

    def projection(self, train: TrainView) -> Tensor:
        """Return the rotated principal axes."""
        return random_rotation(self.spec.bits, self.spec).to(self.head.centre.device) @ self.principal(train)
