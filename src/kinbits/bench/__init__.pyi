from .comparison import Cell, Comparison
from .experiment import Experiment, Trial
from .origin import provenance
from .results import Results
from .runner import Failure, accept_code, bench
from .tables import write_tables

__all__ = [
    "Cell",
    "Comparison",
    "Experiment",
    "Failure",
    "Results",
    "Trial",
    "accept_code",
    "bench",
    "provenance",
    "write_tables",
]
