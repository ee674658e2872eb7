"""Identity backbone for data that are vectors already."""

from __future__ import annotations

from typing import Any, Self

from torch import Tensor

from kinbits.backbones.base import Backbone
from kinbits.backbones.catalogue import Offer
from kinbits.backbones.registry import register_backbone
from kinbits.errors import UsageError


@register_backbone("features")
class IdentityBackbone(Backbone):
    """Returns vectors unchanged: ``load_backbone("features", dim=512)``.

    Use it to hash the embeddings of another library. Centre or normalise the embeddings first if they need it.

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
    def from_pretrained(cls, argument: str, size: int | None) -> Self:
        """Build the backbone for vectors of width ``size``."""
        return cls(size or 0)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the backbone for the width in the configuration."""
        return cls(int(config["dim"]))

    def architecture(self) -> dict[str, Any]:
        """Return the width of the vectors."""
        return {"dim": self.feature_dim}

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return the vectors ``(n, d)`` unchanged.

        Raises:
            UsageError: If the vectors have another width.
        """
        if x.shape[-1] != self.feature_dim:
            raise UsageError(f"vectors of width {x.shape[-1]} given; the model takes width {self.feature_dim}")
        return x
