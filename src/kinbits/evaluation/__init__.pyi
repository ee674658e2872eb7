from .baselines import ACROSS, BASELINES, cosine_block
from .evaluator import METRICS, evaluate
from .relevance import judged
from .report.report import Report
from .report.row import Row

__all__ = [
    "ACROSS",
    "BASELINES",
    "METRICS",
    "Report",
    "Row",
    "cosine_block",
    "evaluate",
    "judged",
]
