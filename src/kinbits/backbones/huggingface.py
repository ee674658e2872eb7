"""Image backbones from transformers, by hub name or folder: DINOv2, CLIP, SigLIP, ViT, ResNet, ConvNeXt."""

from __future__ import annotations

import inspect
import math
import os
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import torch
from torch import Tensor

from kinbits.backbones import hub
from kinbits.backbones.allowed import IMAGE_FAMILIES, JOINT_FAMILIES
from kinbits.backbones.base import ImageBackbone, shapes_of
from kinbits.backbones.joint_text import HFJointText
from kinbits.backbones.preprocessing import Preprocessing
from kinbits.backbones.registry import register_backbone

# two-tower families -> class of the image tower
_TOWERS = {
    "clip": "CLIPVisionModelWithProjection",
    "clip_vision_model": "CLIPVisionModelWithProjection",
    "siglip": "SiglipVisionModel",
    "siglip_vision_model": "SiglipVisionModel",
}
# families with a trained pooler, which their authors use; for other families the class token is better
_TRAINED_POOLER = {"beit", "data2vec-vision", "siglip_vision_model"}


@dataclass(frozen=True)
class _Layout:
    """Layout of a model's output.

    Attributes:
        pool: Source of the pooled features: image embedding, pooler, class token, or mean.
        prefix: Number of tokens before the patch tokens.
        features: Width of the pooled features.
        map_shape: ``(c, h, w)`` of the feature map, or None.
    """

    pool: Literal["embeds", "pooler", "class", "mean"]
    prefix: int
    features: int
    map_shape: tuple[int, int, int] | None


@register_backbone("hf:")
class HFImage(ImageBackbone):
    """A transformers vision model: ``hf:facebook/dinov2-small``, ``hf:./folder``.

    The pooled features depend on the family:

    - CLIP: the projected image embedding.
    - SigLIP and BEiT: the output of the trained pooler.
    - Other models with a class token (ViT, DeiT, DINOv2, DINOv3): the class token after the final layer norm.
    - Models without a class token (ResNet, ConvNeXt, Swin): the average pool.

    The feature map of a transformer is the grid of its patch tokens. Only safetensors are read; code is never
    downloaded.
    """

    _text_half: str | None = None

    def __init__(self, model: Any, name: str, preprocessing: Preprocessing, licence: str, *, pretrained: bool) -> None:
        super().__init__()
        self.network = model.eval()
        self._flexible = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
        trained_size = getattr(model.config, "image_size", preprocessing.size)
        self._flexible = self._flexible and trained_size not in (preprocessing.size, [preprocessing.size] * 2)
        self._layout = self._probe(preprocessing.size)
        if self._layout.pool == "class" and getattr(model, "pooler", None) is not None:
            model.pooler = None  # not used, and untrained in most checkpoints
        self._describe(
            name,
            feature_dim=self._layout.features,
            map_shape=self._layout.map_shape,
            preprocessing=preprocessing,
            licence=licence,
            pretrained=pretrained,
        )

    @classmethod
    def from_pretrained(cls, argument: str, size: int | None) -> Self:
        """Load from the hub or a folder."""
        source = os.path.expanduser(argument)
        config = hub.read_config(source, IMAGE_FAMILIES)
        model, missing = hub.pretrained(_model_class(config.model_type), source, _tower_config(config))
        preprocessing = hub.preprocessing(source, config.model_type, _side(model.config), size)
        name = cls.key + argument
        backbone = cls(model, name, preprocessing, licence=hub.licence(source), pretrained=True)
        absent = [key for key in missing if backbone._layout.pool == "pooler" or "pooler." not in key]
        if absent:
            raise hub.incomplete(source, absent)
        backbone._text_half = argument if config.model_type in JOINT_FAMILIES else None
        return backbone

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the architecture from the configuration alone."""
        fields = hub.config_object(config["config"], IMAGE_FAMILIES)
        model = hub.build(_model_class(fields.model_type), fields)
        preprocessing = Preprocessing.from_dict(config["preprocessing"])
        return cls(model, config["name"], preprocessing, config["licence"], pretrained=config["pretrained"])

    def text_half(self) -> HFJointText | None:
        """Load the text half of the CLIP or SigLIP folder that this one was loaded from; None for other models."""
        return None if self._text_half is None else HFJointText.from_pretrained(self._text_half, None)

    def architecture(self) -> dict[str, Any]:
        """Return the transformers configuration as JSON types."""
        return {"config": hub.plain_config(self.network.config)}

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return pooled features ``(n, d)``, as described in the class."""
        return self._pooled(self._run(self.normalise(x)))

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the last feature map ``(n, c, h, w)``; for a transformer, the grid of its patch tokens."""
        if self.map_shape is None:
            return super().feature_map(x)
        hidden: Tensor = self._run(self.normalise(x)).last_hidden_state
        if hidden.dim() == 4:
            return hidden
        tokens = hidden[:, self._layout.prefix :]
        return tokens.transpose(1, 2).reshape(-1, *self.map_shape)

    def _run(self, x: Tensor) -> Any:
        extra = {"interpolate_pos_encoding": True} if self._flexible else {}
        return self.network(pixel_values=x, **extra)

    def _pooled(self, output: Any) -> Tensor:
        hidden, pool = output.last_hidden_state, self._layout.pool
        if pool == "embeds":
            pooled = output.image_embeds
        elif pool == "pooler":
            pooled = output.pooler_output.flatten(1)
        elif pool == "class":
            pooled = hidden[:, 0]
        else:
            pooled = hidden.mean(dim=(2, 3) if hidden.dim() == 4 else 1)
        return pooled  # type: ignore[no-any-return]

    @torch.no_grad()
    def _probe(self, size: int) -> _Layout:
        """Run the network once on the meta device to get the shapes of its outputs, for any architecture."""
        output = shapes_of(self.network, self._run, torch.empty(1, 3, size, size, device="meta"))
        hidden = output.last_hidden_state
        if hidden.dim() == 4:
            pool: Any = "pooler" if getattr(output, "pooler_output", None) is not None else "mean"
            return self._sized(output, _Layout(pool, 0, 0, tuple(hidden.shape[1:])))
        prefix, grid = _tokens(hidden.shape[1], size, getattr(self.network.config, "patch_size", None))
        shape = (hidden.shape[2], grid, grid) if grid else None
        pool = _pooling(self.network.config.model_type, output, prefix)
        return self._sized(output, _Layout(pool, prefix, 0, shape))

    def _sized(self, output: Any, layout: _Layout) -> _Layout:
        self._layout = layout
        return replace(layout, features=self._pooled(output).shape[1])


def _pooling(family: str, output: Any, prefix: int) -> Literal["embeds", "pooler", "class", "mean"]:
    if getattr(output, "image_embeds", None) is not None:
        return "embeds"
    has_pooler = getattr(output, "pooler_output", None) is not None
    if has_pooler and (family in _TRAINED_POOLER or prefix == 0):
        return "pooler"
    return "class" if prefix else "mean"


def _tokens(count: int, size: int, patch: Any) -> tuple[int, int | None]:
    """Return (tokens before the patch tokens, patches per side or None) of a sequence of tokens.

    A plain ViT has ``(size / patch)^2`` patch tokens after a class token and a few registers. A Swin has fewer tokens,
    and their number is a square. Other sequences give no feature map.
    """
    patch = patch[0] if isinstance(patch, (list, tuple)) else patch
    grid = size // patch if isinstance(patch, int) else 0
    if grid and 0 <= count - grid * grid <= 16:
        return count - grid * grid, grid
    root = math.isqrt(count)
    return (0, root) if root * root == count else (0, None)


def _model_class(family: str) -> Any:
    """Return the transformers class of a family; a model file cannot choose another class."""
    import transformers

    return getattr(transformers, _TOWERS[family]) if family in _TOWERS else transformers.AutoModel


def _tower_config(config: Any) -> Any:
    """Return the configuration of the image tower; for a model with one tower, the configuration itself."""
    return hub.tower_config(config, "vision_config") if config.model_type in JOINT_FAMILIES else config


def _side(config: Any) -> int | None:
    size = getattr(config, "image_size", None)
    return size[0] if isinstance(size, (list, tuple)) else size
