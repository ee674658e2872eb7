from .base import DEFAULT_BITS, Batch, Method, Optimizer, Recipe, Spec, TrainView
from .blocks.binary import signs
from .blocks.ema import ema_copy, frozen_copy, update_ema
from .blocks.modes import evaluating
from .blocks.semantic import semantic_centres
from .blocks.views import Projector
from .catalogue import MethodInfo, Parameter, parameters
from .hash_loss import HashLoss
from .registry import build_method, check_fit, describe_method, get_method, list_methods, needs_labels, register

__all__ = [
    "DEFAULT_BITS",
    "Batch",
    "HashLoss",
    "Method",
    "MethodInfo",
    "Optimizer",
    "Parameter",
    "Projector",
    "Recipe",
    "Spec",
    "TrainView",
    "build_method",
    "check_fit",
    "describe_method",
    "ema_copy",
    "evaluating",
    "frozen_copy",
    "get_method",
    "list_methods",
    "needs_labels",
    "parameters",
    "register",
    "semantic_centres",
    "signs",
    "update_ema",
]
