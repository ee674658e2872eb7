"""Feature extractors for images, text and vectors, by name, and their features at full speed."""

from kinbits.backbones import _convnet, _efficientnet, _features, _hf, _text, _timm  # noqa: F401  (they register)
from kinbits.backbones._base import Backbone, ImageBackbone, Preprocessing
from kinbits.backbones._convert import vit_from_timm
from kinbits.backbones._extract import Features, View, extract
from kinbits.backbones._fast import fast_forward
from kinbits.backbones._map import FeatureMap
from kinbits.backbones._registry import backbones, build_backbone, load_backbone, register_backbone

__all__ = [
    "Backbone",
    "FeatureMap",
    "Features",
    "ImageBackbone",
    "Preprocessing",
    "View",
    "backbones",
    "build_backbone",
    "extract",
    "fast_forward",
    "load_backbone",
    "register_backbone",
    "vit_from_timm",
]
