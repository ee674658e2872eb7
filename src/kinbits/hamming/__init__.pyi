from .checks import Codes, check_codes, check_count, check_number, code_width
from .codes import distances, histograms, pack, paired_distances, simd, unpack
from .counts import tally
from .kinds import (
    BITS,
    check_words,
    describe_kind,
    pack_words,
    part_bits,
    stated_kind,
    table_shape,
    unpack_words,
)
from .multi_index import MultiIndex
from .search import Allow, threads, topk, within
from .strategy import Explanation
from .table_search import RowFactors, Tables, table_distances, table_topk, table_within
from .tables import sign_tables

__all__ = [
    "BITS",
    "Allow",
    "Codes",
    "Explanation",
    "MultiIndex",
    "RowFactors",
    "Tables",
    "check_codes",
    "check_count",
    "check_number",
    "check_words",
    "code_width",
    "describe_kind",
    "distances",
    "histograms",
    "pack",
    "pack_words",
    "paired_distances",
    "part_bits",
    "sign_tables",
    "simd",
    "stated_kind",
    "table_distances",
    "table_shape",
    "table_topk",
    "table_within",
    "tally",
    "threads",
    "topk",
    "unpack",
    "unpack_words",
    "within",
]
