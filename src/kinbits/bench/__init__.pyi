from .comparison import Cell, Comparison, document, page
from .experiment import Experiment, Run
from .results import Results
from .runner import Failure, bench

__all__ = [
    "Cell",
    "Comparison",
    "Experiment",
    "Failure",
    "Results",
    "Run",
    "bench",
    "document",
    "page",
]
