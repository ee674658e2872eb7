from .base import Batch, Method, Optimizer, Recipe, Spec, TrainSet
from .blocks.ema import ema_copy, frozen_copy, update_ema
from .blocks.projector import Projector
from .blocks.semantic import semantic_centres
from .catalogue import MethodInfo, Parameter, parameters
from .registry import build_method, check_fit, describe_method, get_method, list_methods, needs_labels, register

__all__ = [
    "Batch",
    "Method",
    "MethodInfo",
    "Optimizer",
    "Parameter",
    "Projector",
    "Recipe",
    "Spec",
    "TrainSet",
    "build_method",
    "check_fit",
    "describe_method",
    "ema_copy",
    "frozen_copy",
    "get_method",
    "list_methods",
    "needs_labels",
    "parameters",
    "register",
    "semantic_centres",
    "update_ema",
]
