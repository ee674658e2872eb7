"""Measure the search for all near pairs against comparing all codes with all.

python benchmarks/bench_pairs.py [--short | --full] [--rows 1e5 1e6] [--radius 2 4 8] [--threads 2] [--out FILE]
"""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser
from collections.abc import Iterator

import numpy as np
from _bench import arguments, machine, publish, say, table

COLUMNS = "n, radius, build s, pairs found, pair search s, all with all s, ratio"
NOTE = """All pairs of {bits}-bit codes within a radius, on {threads} thread(s). The codes are spread evenly, but for
one in ten, which is another one with up to three bits flipped. Comparing all with all takes quadratic time: 512 queries
are scanned in one batch, and half of what all would take is shown, for each pair is needed once."""


def main() -> None:
    given = arguments(__doc__, extra=_options)
    os.environ["KINBITS_THREADS"] = str(given.threads)  # read by both ways of searching
    sizes = given.rows or ([1e5, 1e6] if given.full else [1e5])
    rows = [row for n in sizes for row in _measure(make_codes(int(n), given.bits), given.radius)]
    note = NOTE.format(bits=given.bits, threads=given.threads)
    publish([machine(), note, table(COLUMNS.split(", "), rows)], given.out)


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--rows", type=float, nargs="+", help="numbers of codes")
    parser.add_argument("--radius", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)


def make_codes(rows: int, bits: int) -> np.ndarray:
    """Draw codes of which one in ten nearly repeats another."""
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 256, (rows, bits // 8), dtype=np.uint8)
    copies = rows // 10
    flipped = np.zeros((copies, bits), np.bool_)
    for _ in range(3):
        at = generator.integers(0, bits, copies)
        flipped[np.arange(copies), at] = generator.random(copies) < 0.5
    codes[-copies:] = codes[generator.integers(0, rows - copies, copies)] ^ np.packbits(flipped, axis=1)
    return codes


def _measure(codes: np.ndarray, radii: list[int]) -> Iterator[list[object]]:
    from kinbits import hamming

    started = time.perf_counter()
    index = hamming.MultiIndex.from_codes(codes)
    build = time.perf_counter() - started
    for radius in radii:
        say(f"{len(codes):,} codes, radius {radius}")
        started = time.perf_counter()
        found = sum(len(first) for first, _, _ in index.pairs(radius))
        spent = time.perf_counter() - started
        part = min(len(codes), 512)
        started = time.perf_counter()
        hamming.within(codes[:part], codes, radius)
        whole = (time.perf_counter() - started) * len(codes) / part / 2
        yield [f"{len(codes):,}", radius, build, f"{found:,}", spent, whole, whole / spent]


if __name__ == "__main__":
    main()
