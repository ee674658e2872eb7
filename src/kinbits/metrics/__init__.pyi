from .classes import ClassResult, by_class
from .cosine import cosine_scores
from .curve import PrecisionRecallCurve, precision_recall_curve, score_curve
from .hierarchy import HierarchyRelevance, class_similarity
from .leave_one_out import LeaveOneOut
from .legacy import LegacyDefinition, legacy_definitions
from .lists import ListRelevance, NeighbourRelevance
from .names import Metric, parse_metric
from .operating_points import OperatingPoint, operating_point, parse_target
from .ranking import ScoreBlock, evaluate, evaluate_scores
from .relevance import GradedRelevance, LabelRelevance, MatrixRelevance, Relevance
from .result import RankingResult, Ties
from .significance import PairedTest, compare, compare_many
from .statistics.plot import plot_statistics
from .statistics.summary import code_statistics
from .statistics.values import CodeStatistics

__all__ = [
    "ClassResult",
    "CodeStatistics",
    "GradedRelevance",
    "HierarchyRelevance",
    "LabelRelevance",
    "LeaveOneOut",
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
    "ScoreBlock",
    "Ties",
    "by_class",
    "class_similarity",
    "code_statistics",
    "compare",
    "compare_many",
    "cosine_scores",
    "evaluate",
    "evaluate_scores",
    "legacy_definitions",
    "operating_point",
    "parse_metric",
    "parse_target",
    "plot_statistics",
    "precision_recall_curve",
    "score_curve",
]
