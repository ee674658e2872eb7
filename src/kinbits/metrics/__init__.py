"""Ranking metrics that treat ties as ties. Needs NumPy alone.

Hamming distances tie massively, so the order that a sort happens to give would move mAP by several points.
Here a metric is the expected value over all orders inside ties, in closed form from per-distance counts.
"""

from kinbits.metrics._closed_form import Ties
from kinbits.metrics._curve import PrecisionRecallCurve, precision_recall_curve
from kinbits.metrics._names import Metric, parse_metric
from kinbits.metrics._ranking import RankingResult, evaluate, evaluate_scores
from kinbits.metrics._relevance import LabelRelevance, MatrixRelevance, Relevance

__all__ = [
    "LabelRelevance",
    "MatrixRelevance",
    "Metric",
    "PrecisionRecallCurve",
    "RankingResult",
    "Relevance",
    "Ties",
    "evaluate",
    "evaluate_scores",
    "parse_metric",
    "precision_recall_curve",
]
