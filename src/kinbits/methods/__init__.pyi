from .base import Batch, Method, Modality, Optimizer, Recipe, Spec, TrainSet
from .blocks.ema import follow, slow_copy, unchanged_copy
from .blocks.projector import Projector
from .blocks.semantic import semantic_centres
from .registry import Parameter, build_method, check_fit, get_method, list_methods, needs_labels, parameters, register

__all__ = [
    "Batch",
    "Method",
    "Modality",
    "Optimizer",
    "Parameter",
    "Projector",
    "Recipe",
    "Spec",
    "TrainSet",
    "build_method",
    "check_fit",
    "follow",
    "get_method",
    "list_methods",
    "needs_labels",
    "parameters",
    "register",
    "semantic_centres",
    "slow_copy",
    "unchanged_copy",
]
