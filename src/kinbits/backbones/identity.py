"""Identity backbone for data that are vectors already."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from kinbits.backbones.base import Backbone
from kinbits.backbones.catalogue import Offer
from kinbits.backbones.registry import register_backbone
from kinbits.errors import UsageError


@register_backbone("features")
class IdentityBackbone(Backbone):
    """Returns vectors, unchanged unless told: ``load_backbone("features", dim=512)``.

    Use it to hash the embeddings of another library.

    Args:
        dim: Width of the vectors.
        dims: How many of their numbers are read, from the first on, as embeddings allow that were trained for it
            (A. Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022); None for all. Vectors that were
            shortened before are read too.
        normalise: Whether what is read is scaled to length 1, so that distances follow the cosine.

    Example:
        >>> IdentityBackbone(4, dims=2, normalise=True)(torch.tensor([[3.0, 4.0, 5.0, 6.0]])).tolist()
        [[0.6000000238418579, 0.800000011920929]]
    """

    modality = "vector"
    offer = Offer(licence="the data's own")

    def __init__(self, dim: int, dims: int | None = None, *, normalise: bool | None = None) -> None:
        super().__init__()
        if dim < 1:
            raise UsageError(f"vectors of {dim} numbers cannot be hashed; the width must be 1 or more")
        if dims is not None and not (type(dims) is int and 1 <= dims <= dim):
            raise UsageError(f"dims={dims}: vectors of {dim} numbers can be shortened to 1 to {dim}")
        self.dim, self.dims, self.normalise = dim, dims, bool(normalise)
        self._describe(self.key, feature_dim=dims or dim, licence="none: the data's own", pretrained=True)

    @classmethod
    def from_pretrained(cls, argument: str, size: int | None) -> Self:
        """Build the backbone for vectors of width ``size``."""
        return cls(size or 0)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the backbone that the configuration describes."""
        dims = config.get("dims")
        return cls(int(config["dim"]), None if dims is None else int(dims), normalise=bool(config.get("normalise")))

    def architecture(self) -> dict[str, Any]:
        """Return the width of the vectors, and what is done to them."""
        done = {"dims": self.dims, "normalise": self.normalise or None}
        return {"dim": self.dim, **{name: value for name, value in done.items() if value is not None}}

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return what is read of vectors ``(n, d)``.

        Raises:
            UsageError: If the vectors have another width.
        """
        if x.shape[-1] not in (self.dim, self.feature_dim):
            raise UsageError(f"vectors of width {x.shape[-1]} given; the model takes width {self.dim}")
        read = x[..., : self.feature_dim]
        return unit_length(read) if self.normalise else read


def unit_length(x: Tensor) -> Tensor:
    """Return vectors scaled to length 1, whatever their unit; a zero stays a zero."""
    largest = x.abs().amax(-1, keepdim=True)
    return functional.normalize(x / largest.clamp_min(torch.finfo(x.dtype).tiny), dim=-1)
