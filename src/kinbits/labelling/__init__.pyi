from .fraction import keep_fraction
from .registry import ExpandedLabels, Expansion, build_expansion, expand, get_expansion, list_expansions, register

__all__ = [
    "ExpandedLabels",
    "Expansion",
    "build_expansion",
    "expand",
    "get_expansion",
    "keep_fraction",
    "list_expansions",
    "register",
]
