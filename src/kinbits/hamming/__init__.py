"""Binary codes as arrays: pack, measure, search. Needs NumPy alone.

A code is a row of ``ceil(bits / 8)`` bytes: bit 1 where the logit is >= 0, most significant bit first
(``numpy.packbits``), pad bits 0. The native kernel's results equal those of the NumPy reference beside it.
"""

from kinbits.hamming._checks import Codes, check_codes, code_width, whole_number
from kinbits.hamming._codes import distances, histograms, pack, simd, unpack
from kinbits.hamming._multi_index import MultiIndex
from kinbits.hamming._search import Allow, check_allow, thread_count, threads, topk, within
from kinbits.hamming._tally import tally

__all__ = [
    "Allow",
    "Codes",
    "MultiIndex",
    "check_allow",
    "check_codes",
    "code_width",
    "distances",
    "histograms",
    "pack",
    "simd",
    "tally",
    "thread_count",
    "threads",
    "topk",
    "unpack",
    "whole_number",
    "within",
]
