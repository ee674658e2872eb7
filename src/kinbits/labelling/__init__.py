"""Few labels turned into many, before any method learns from them."""

from kinbits.labelling._fraction import keep_fraction
from kinbits.labelling._registry import (
    ExpandedLabels,
    Expansion,
    build_expansion,
    expand,
    expansions,
    get_expansion,
    register,
)

__all__ = [
    "ExpandedLabels",
    "Expansion",
    "build_expansion",
    "expand",
    "expansions",
    "get_expansion",
    "keep_fraction",
    "register",
]
