"""Backbone that returns the feature map of another backbone, for heads that use spatial positions."""

from __future__ import annotations

import math
from typing import Any, Self

from torch import Tensor

from kinbits.backbones.base import Backbone
from kinbits.backbones.registry import build_backbone, load_backbone, register_backbone
from kinbits.errors import UsageError


@register_backbone("map:")
class FeatureMap(Backbone):
    """The last feature map ``(c, h, w)`` of an image backbone, flattened to a vector of ``c h w`` numbers.

    Feature maps are cached, trained on and saved like pooled features. Heads for maps (`kinbits.heads.MapHead`) restore
    the shape, and methods that read maps wrap the backbone themselves. A map takes more memory: 41 kB per image for
    EfficientNet-Lite0 at 128 px, compared with 2.6 kB for the pooled features.

    Args:
        inner: Image backbone with a feature map.

    Raises:
        UsageError: If the backbone has no feature map.

    Example:
        >>> load_backbone("map:convnet-small").feature_dim
        6144
    """

    map_shape: tuple[int, int, int]

    def __init__(self, inner: Backbone) -> None:
        super().__init__()
        if inner.map_shape is None:
            raise UsageError(
                f"backbone '{inner.name}' has no feature map; use an image backbone such as efficientnet_lite0, or a "
                f"method that reads pooled features"
            )
        self._describe(
            f"map:{inner.name}",
            feature_dim=math.prod(inner.map_shape),
            map_shape=inner.map_shape,
            preprocessing=inner.preprocessing,
            licence=inner.licence,
            pretrained=inner.pretrained,
        )
        self.inner = inner

    @classmethod
    def from_pretrained(cls, argument: str, size: int | None) -> Self:
        """Load the backbone whose name follows the colon."""
        return cls(load_backbone(argument, size=size))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the inner architecture."""
        return cls(build_backbone(config["inner"]))

    def architecture(self) -> dict[str, Any]:
        """Return the inner backbone's configuration."""
        return {"inner": self.inner.config()}

    @property
    def pooled(self) -> Backbone:
        """The inner backbone."""
        return self.inner

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return flattened feature maps ``(n, c h w)`` of images ``(n, 3, s, s)`` in [0, 1]."""
        return self.feature_map(x).flatten(1)

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the feature map of the inner backbone, ``(n, c, h, w)``."""
        return self.inner.feature_map(x)
