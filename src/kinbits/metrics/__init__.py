"""Ranking metrics that treat ties as ties. Needs NumPy and the native kernel, no torch.

Hamming distances tie massively, so the order that a sort happens to give would move mAP by several points.
Here a metric is the expected value over all orders inside ties, in closed form from per-distance counts.
"""

from kinbits.metrics._classes import ClassResult, by_class
from kinbits.metrics._curve import PrecisionRecallCurve, precision_recall_curve
from kinbits.metrics._hierarchy import HierarchyRelevance
from kinbits.metrics._legacy import LegacyDefinition, legacy_definitions
from kinbits.metrics._lists import ListRelevance, NeighbourRelevance
from kinbits.metrics._names import Metric, parse_metric
from kinbits.metrics._operating_point import OperatingPoint, operating_point, parse_target
from kinbits.metrics._ranking import evaluate, evaluate_scores
from kinbits.metrics._relevance import LabelRelevance, MatrixRelevance, Relevance
from kinbits.metrics._result import RankingResult, Ties
from kinbits.metrics._significance import PairedTest, compare
from kinbits.metrics._statistics import CodeStatistics, code_statistics

__all__ = [
    "ClassResult",
    "CodeStatistics",
    "HierarchyRelevance",
    "LabelRelevance",
    "LegacyDefinition",
    "ListRelevance",
    "MatrixRelevance",
    "Metric",
    "NeighbourRelevance",
    "OperatingPoint",
    "PairedTest",
    "PrecisionRecallCurve",
    "RankingResult",
    "Relevance",
    "Ties",
    "by_class",
    "code_statistics",
    "compare",
    "evaluate",
    "evaluate_scores",
    "legacy_definitions",
    "operating_point",
    "parse_metric",
    "parse_target",
    "precision_recall_curve",
]
