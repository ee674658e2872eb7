from .base import Backbone, ImageBackbone, Preprocessing
from .catalogue import BackboneInfo, Offer
from .compiled import cached_forward, fast_forward
from .convert import vit_from_timm
from .extraction import Features, View, extract
from .feature_map import FeatureMap
from .identity import unit_length
from .registry import (
    backbone_class,
    build_backbone,
    describe_backbone,
    list_backbones,
    load_backbone,
    register_backbone,
    require_modality,
)

__all__ = [
    "Backbone",
    "BackboneInfo",
    "FeatureMap",
    "Features",
    "ImageBackbone",
    "Offer",
    "Preprocessing",
    "View",
    "backbone_class",
    "build_backbone",
    "cached_forward",
    "describe_backbone",
    "extract",
    "fast_forward",
    "list_backbones",
    "load_backbone",
    "register_backbone",
    "require_modality",
    "unit_length",
    "vit_from_timm",
]
