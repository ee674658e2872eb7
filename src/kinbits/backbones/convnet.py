"""Small convolutional network for training from scratch on images of 28 to 32 pixels."""

from __future__ import annotations

import itertools
from typing import Any, Self

from torch import Tensor, nn

from kinbits.backbones.base import ImageBackbone
from kinbits.backbones.catalogue import Offer
from kinbits.backbones.preprocessing import Preprocessing
from kinbits.backbones.registry import register_backbone

_WIDTHS = (48, 96, 192, 384)


@register_backbone("convnet-small")
class ConvNetSmall(ImageBackbone):
    """Seven 3x3 convolutions in four stages with batch norm and ReLU (1.3 M parameters): 384 features.

    The weights are random; train them together with the head. Every stage but the first halves the side, so the
    feature map is ``(384, ceil(s/8), ceil(s/8))``.
    """

    offer = Offer(size=32, feature_dim=384, pretrained=False, licence="Apache-2.0")

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        side = -(-preprocessing.size // 8)
        self._describe(
            self.key,
            feature_dim=_WIDTHS[-1],
            map_shape=(_WIDTHS[-1], side, side),
            preprocessing=preprocessing,
            licence="Apache-2.0",
            pretrained=False,
        )
        stages = [_conv(3, _WIDTHS[0]), _conv(_WIDTHS[0], _WIDTHS[0])]
        for before, after in itertools.pairwise(_WIDTHS[:-1]):
            stages += [_conv(before, after, stride=2), _conv(after, after)]
        stages.append(_conv(_WIDTHS[-2], _WIDTHS[-1], stride=2))
        self.stages = nn.Sequential(*stages)

    @classmethod
    def from_pretrained(cls, argument: str, size: int | None) -> Self:
        """Build the network with random weights from torch's random generator."""
        return cls(Preprocessing(size or 32, (0.5,) * 3, (0.25,) * 3))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the architecture for the size in the configuration."""
        return cls(Preprocessing.from_dict(config["preprocessing"]))

    def architecture(self) -> dict[str, Any]:
        """Return ``{}``: the preprocessing holds the size."""
        return {}

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return the average of the feature map, ``(n, 384)``."""
        return self.feature_map(x).mean(dim=(2, 3))

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the feature map after the last ReLU, ``(n, 384, h, w)``."""
        out: Tensor = self.stages(self.normalise(x))
        return out


def _conv(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
