from .cells import Cell
from .comparison import Comparison, markdown_tables
from .experiment import Experiment, Trial
from .groups import Group, method_of
from .identity import config_of, digest
from .origin import provenance
from .query_values import QueryValues
from .results import Results
from .rows import write_rows
from .runner import BenchResult, Failure, bench, load_results, start_worker
from .status import Status
from .tables import write_tables

__all__ = [
    "BenchResult",
    "Cell",
    "Comparison",
    "Experiment",
    "Failure",
    "Group",
    "QueryValues",
    "Results",
    "Status",
    "Trial",
    "bench",
    "config_of",
    "digest",
    "load_results",
    "markdown_tables",
    "method_of",
    "provenance",
    "start_worker",
    "write_rows",
    "write_tables",
]
