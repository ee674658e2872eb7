"""The table of metrics: what each name measures, where it may be cut, and which relevance it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kinbits.metrics import first_hit as first
from kinbits.metrics import gain as gain
from kinbits.metrics import neighbours as neighbours
from kinbits.metrics import precision as precision
from kinbits.metrics.groups import Floats, Groups
from kinbits.metrics.hierarchy import HierarchyRelevance
from kinbits.metrics.lists import NeighbourRelevance

Measure = Callable[[Groups, Any], Floats]


@dataclass(frozen=True)
class Family:
    """A metric apart from where it is cut.

    Attributes:
        at: Measures lists of k; None if only Hamming balls can be measured.
        within: Measures balls of a Hamming radius; None if only lists can be measured.
        whole: Whether the whole ranking can be measured, ``@all``.
        uncut: Whether the name has no cut at all, such as ``mrr``.
        variants: Other definitions, named behind a slash.
        needs: The class of relevance that it needs; None for any.
    """

    at: Measure | None = None
    within: Measure | None = None
    whole: bool = False
    uncut: bool = False
    variants: Mapping[str, Measure] = field(default_factory=dict)
    needs: type | None = None


_AP = precision.average_precision
FAMILIES = {
    "map": Family(
        _AP, whole=True, variants={name: partial(_AP, denominator=name) for name in ("min", "all", "retrieved")}
    ),
    "precision": Family(precision.precision_at, precision.precision_within),
    "recall": Family(precision.recall_at, precision.recall_within),
    "f1": Family(within=precision.f1_within),
    "hit": Family(first.hit_at),
    "mrr": Family(first.reciprocal_rank, uncut=True),
    "rprecision": Family(precision.r_precision, uncut=True),
    "map-revisited": Family(precision.trapezoid_precision, uncut=True),
    "ndcg": Family(gain.ndcg, whole=True),
    "acg": Family(gain.mean_grade),
    "wmap": Family(gain.weighted_precision, whole=True),
    "hp": Family(gain.hierarchical_precision, needs=HierarchyRelevance),
    "mahp": Family(
        gain.mean_hierarchical_precision,
        variants={"mean": gain.mean_hierarchical_precision, "trapezoid": gain.area_of_hierarchical_precision},
        needs=HierarchyRelevance,
    ),
    "ann-recall": Family(neighbours.neighbour_recall, needs=NeighbourRelevance),
    "1-recall": Family(neighbours.nearest_recall, needs=NeighbourRelevance),
}
