from .checks import Codes, check_codes, check_count, check_number, code_width
from .codes import distances, histograms, pack, paired_distances, simd, unpack
from .counts import tally
from .hexadecimal import from_hex, to_hex
from .kinds import (
    BITS,
    FACTOR_BYTES,
    SCALED,
    check_words,
    describe_kind,
    factors_of,
    join_factors,
    kind_name,
    pack_words,
    part_bits,
    part_count,
    parts_text,
    require_factors,
    stated_kind,
    table_shape,
    unpack_words,
)
from .multi_index import MultiIndex
from .search import Allow, threads, topk, within
from .strategy import Explanation
from .table_search import Tables, table_distances, table_topk, table_within
from .tables import sign_tables

__all__ = [
    "BITS",
    "FACTOR_BYTES",
    "SCALED",
    "Allow",
    "Codes",
    "Explanation",
    "MultiIndex",
    "Tables",
    "check_codes",
    "check_count",
    "check_number",
    "check_words",
    "code_width",
    "describe_kind",
    "distances",
    "factors_of",
    "from_hex",
    "histograms",
    "join_factors",
    "kind_name",
    "pack",
    "pack_words",
    "paired_distances",
    "part_bits",
    "part_count",
    "parts_text",
    "require_factors",
    "sign_tables",
    "simd",
    "stated_kind",
    "table_distances",
    "table_shape",
    "table_topk",
    "table_within",
    "tally",
    "threads",
    "to_hex",
    "topk",
    "unpack",
    "unpack_words",
    "within",
]
