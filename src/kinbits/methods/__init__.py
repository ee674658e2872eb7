"""One file per published method, under one small contract (`Method`)."""

from kinbits.methods._base import Batch, Method, Optimizer, Recipe, Spec, TrainSet
from kinbits.methods._registry import Parameter, build_method, get_method, methods, parameters, register
from kinbits.methods._semantic import semantic_centres

__all__ = [
    "Batch",
    "Method",
    "Optimizer",
    "Parameter",
    "Recipe",
    "Spec",
    "TrainSet",
    "build_method",
    "get_method",
    "methods",
    "parameters",
    "register",
    "semantic_centres",
]
