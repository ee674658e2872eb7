from .base import Backbone, ImageBackbone
from .catalogue import BackboneInfo, Offer
from .class_spaces import NEAR_CLASS, ClassSpace, TextClasses, class_captions, class_space
from .classifier import Classifier, classifier_of
from .compiled import COMPILE_ROWS, cached_forward, fast_forward
from .concepts import Concepts
from .convert import vit_from_timm
from .extraction import Features, View, extract, features_of_pixels
from .feature_map import FeatureMap
from .identity import unit_length
from .preprocessing import Preprocessing
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
    "COMPILE_ROWS",
    "NEAR_CLASS",
    "Backbone",
    "BackboneInfo",
    "ClassSpace",
    "Classifier",
    "Concepts",
    "FeatureMap",
    "Features",
    "ImageBackbone",
    "Offer",
    "Preprocessing",
    "TextClasses",
    "View",
    "backbone_class",
    "build_backbone",
    "cached_forward",
    "class_captions",
    "class_space",
    "classifier_of",
    "describe_backbone",
    "extract",
    "fast_forward",
    "features_of_pixels",
    "list_backbones",
    "load_backbone",
    "register_backbone",
    "require_modality",
    "unit_length",
    "vit_from_timm",
]
