from .checks import Codes, check_codes, check_count, code_width
from .codes import distances, histograms, pack, paired_distances, simd, unpack
from .counts import tally
from .multi_index import MultiIndex
from .search import Allow, threads, topk, within
from .strategy import Explanation
from .table_search import RowFactors, Tables, table_topk, table_within
from .tables import sign_tables

__all__ = [
    "Allow",
    "Codes",
    "Explanation",
    "MultiIndex",
    "RowFactors",
    "Tables",
    "check_codes",
    "check_count",
    "code_width",
    "distances",
    "histograms",
    "pack",
    "paired_distances",
    "sign_tables",
    "simd",
    "table_topk",
    "table_within",
    "tally",
    "threads",
    "topk",
    "unpack",
    "within",
]
