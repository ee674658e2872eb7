from .fraction import keep_fraction
from .graph import NeighbourGraph
from .labels import PartialLabels, partial_labels
from .registry import ExpandedLabels, Expansion, build_expansion, expand, get_expansion, list_expansions, register

__all__ = [
    "ExpandedLabels",
    "Expansion",
    "NeighbourGraph",
    "PartialLabels",
    "build_expansion",
    "expand",
    "get_expansion",
    "keep_fraction",
    "list_expansions",
    "partial_labels",
    "register",
]
