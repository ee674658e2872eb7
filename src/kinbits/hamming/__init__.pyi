from .checks import Codes, check_codes, check_count, code_width
from .codes import distances, histograms, pack, paired_distances, simd, unpack
from .counts import tally
from .multi_index import MultiIndex
from .search import Allow, threads, topk, within
from .strategy import Explanation

__all__ = [
    "Allow",
    "Codes",
    "Explanation",
    "MultiIndex",
    "check_codes",
    "check_count",
    "code_width",
    "distances",
    "histograms",
    "pack",
    "paired_distances",
    "simd",
    "tally",
    "threads",
    "topk",
    "unpack",
    "within",
]
