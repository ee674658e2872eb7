"""Image backbones from timm, an optional package."""

from __future__ import annotations

import json
import re
from typing import Any, Literal, Self

import torch
from torch import Tensor

from kinbits._util import one_line, require
from kinbits.backbones.allowed import allowed_timm
from kinbits.backbones.base import ImageBackbone, shapes_of
from kinbits.backbones.preprocessing import Preprocessing
from kinbits.backbones.registry import register_backbone
from kinbits.backbones.sealed import sealed
from kinbits.errors import ArtefactError, PlatformError

_OLDEST = (1, 0, 26)  # the first version that loads all weights with weights_only=True


@register_backbone("timm:")
class Timm(ImageBackbone):
    """A timm model without its classifier: ``timm:resnet18.a1_in1k``.

    The pooled features are the input of the classifier. The feature map is the output of ``forward_features``; patch
    tokens are arranged in a grid. Needs ``pip install 'kinbits[timm]'``.
    """

    def __init__(
        self,
        arch: str,
        options: dict[str, Any],
        preprocessing: Preprocessing,
        licence: str,
        *,
        pretrained: bool,
    ) -> None:
        super().__init__()
        self._arch, self._options = allowed_timm(arch, options)
        # load() loads the weights; here only the architecture is built
        with sealed():
            self.network = _create(arch, pretrained=False, options=options)
        self.network.eval()
        with torch.no_grad():
            blank = torch.empty(1, 3, preprocessing.size, preprocessing.size, device="meta")
            pooled, spatial = shapes_of(self.network, self._pooled_and_spatial, blank)
        self._describe(
            self.key + arch,
            feature_dim=pooled.shape[1],
            map_shape=None if spatial is None else tuple(spatial.shape[1:]),
            preprocessing=preprocessing,
            licence=licence,
            pretrained=pretrained,
        )

    @classmethod
    def from_pretrained(cls, argument: str, size: int | None) -> Self:
        """Load a timm model with its published weights."""
        allowed_timm(argument, {})
        try:
            network = _create(argument, pretrained=True, options={"img_size": size} if size else {})
            options = {"img_size": size} if size else {}
        except TypeError:  # convolutional networks accept any size and have no option img_size
            network, options = _create(argument, pretrained=True, options={}), {}
        published = network.pretrained_cfg
        licence = str(published.get("license") or "unknown: see the model's card")
        backbone = cls(argument, options, _preprocessing(published, size), licence=licence, pretrained=True)
        backbone.network.load_state_dict(network.state_dict())
        return backbone

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the architecture by its timm name, without downloads."""
        preprocessing = Preprocessing.from_dict(config["preprocessing"])
        return cls(
            config["arch"],
            config["options"],
            preprocessing,
            config["licence"],
            pretrained=config["pretrained"],
        )

    def architecture(self) -> dict[str, Any]:
        """Return timm's name and options of the architecture."""
        return {"arch": self._arch, "options": json.loads(json.dumps(self._options))}

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return timm's pooled features ``(n, d)``."""
        pooled: Tensor = self.network(self.normalise(x))
        return pooled

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the last feature map ``(n, c, h, w)``."""
        spatial = self._spatial(self.network.forward_features(self.normalise(x)))
        return super().feature_map(x) if spatial is None else spatial

    def _pooled_and_spatial(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.network(x), self._spatial(self.network.forward_features(x))

    def _spatial(self, features: Tensor) -> Tensor | None:
        if features.dim() == 4:  # (n, c, h, w), or (n, h, w, c) as in Swin
            return features if features.shape[1] == self.network.num_features else features.permute(0, 3, 1, 2)
        tokens = features[:, getattr(self.network, "num_prefix_tokens", 0) :]
        side = round(tokens.shape[1] ** 0.5)
        return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side) if side * side == tokens.shape[1] else None


def _create(arch: str, *, pretrained: bool, options: dict[str, int]) -> Any:
    try:
        timm = require("timm")
    except (ImportError, RuntimeError) as error:  # a torchvision of another torch fails with RuntimeError
        raise PlatformError(
            f"backbone 'timm:{arch}' needs timm ({error}); run: pip install 'kinbits[timm]' "
            "(timm needs a torchvision that fits the installed torch)"
        ) from error
    if tuple(map(int, re.findall(r"\d+", timm.__version__)[:3])) < _OLDEST:
        raise PlatformError(
            f"timm {timm.__version__} may run code that is hidden in weights; run: pip install -U 'kinbits[timm]'"
        )
    if not timm.is_model(arch):
        raise ArtefactError(f"timm {timm.__version__} knows no architecture '{arch}'; see timm.list_models()")
    try:
        return timm.create_model(arch, pretrained=pretrained, num_classes=0, **options)
    except (OSError, RuntimeError) as error:
        raise PlatformError(
            f"timm cannot make '{arch}': {one_line(error)}; see timm.list_models('*', pretrained=True) for names, and "
            "check the network when the weights have to be downloaded"
        ) from error


def _preprocessing(published: dict[str, Any], size: int | None) -> Preprocessing:
    """Return the preprocessing in timm's ``pretrained_cfg``."""
    rule: Literal["squash", "crop", "pad"] = {"squash": "squash", "border": "pad"}.get(
        str(published.get("crop_mode")), "crop"
    )  # type: ignore[assignment]
    interpolation = str(published.get("interpolation", "bicubic"))
    return Preprocessing(
        size=size or int(published["input_size"][1]),
        mean=tuple(published["mean"]),
        std=tuple(published["std"]),
        resize=rule,
        interpolation=interpolation if interpolation in ("bilinear", "bicubic") else "bicubic",  # type: ignore[arg-type]
        crop_ratio=float(published.get("crop_pct") or 1.0),
    )
