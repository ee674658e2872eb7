"""Numbers for a model on a protocol, with training-free baselines beside them."""

from kinbits.evaluation._evaluate import METRICS, evaluate
from kinbits.evaluation._report import Report
from kinbits.evaluation._row import Row

__all__ = ["METRICS", "Report", "Row", "evaluate"]
