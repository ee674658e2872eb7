from .comparison import Cell, Comparison
from .experiment import Experiment, Trial
from .identity import config_of, digest
from .origin import provenance
from .results import Results
from .runner import Failure, bench
from .status import Status
from .tables import write_tables

__all__ = [
    "Cell",
    "Comparison",
    "Experiment",
    "Failure",
    "Results",
    "Status",
    "Trial",
    "bench",
    "config_of",
    "digest",
    "provenance",
    "write_tables",
]
