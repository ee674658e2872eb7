"""The backbone for data that already are vectors."""

from __future__ import annotations

from typing import Any, Self

from torch import Tensor

from kinbits.backbones.base import Backbone
from kinbits.backbones.catalogue import Offer
from kinbits.backbones.registry import register_backbone
from kinbits.errors import UsageError


@register_backbone("features")
class IdentityBackbone(Backbone):
    """The identity on vectors: ``load_backbone("features", dim=512)``.

    Other libraries' embeddings can be hashed with it. The values are taken as they are: center or
    normalise them before, if that is what your embeddings need.

    Args:
        dim: Width of the vectors.

    Example:
        >>> IdentityBackbone(4).feature_dim
        4
    """

    modality = "vector"
    offer = Offer(licence="the data's own")

    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim < 1:
            raise UsageError(f"vectors of {dim} numbers cannot be hashed; the width must be 1 or more")
        self._describe(self.key, feature_dim=dim, licence="none: the data's own", pretrained=True)

    @classmethod
    def load(cls, argument: str, size: int | None) -> Self:
        """Build for vectors of ``size`` numbers."""
        return cls(size or 0)

    @classmethod
    def build(cls, config: dict[str, Any]) -> Self:
        """Build for the width in the configuration."""
        return cls(int(config["dim"]))

    def architecture(self) -> dict[str, Any]:
        """Return the width."""
        return {"dim": self.feature_dim}

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return the vectors ``(n, d)`` unchanged.

        Raises:
            UsageError: If the vectors have another width.
        """
        if x.shape[-1] != self.feature_dim:
            raise UsageError(f"vectors of width {x.shape[-1]} given; the model takes width {self.feature_dim}")
        return x
