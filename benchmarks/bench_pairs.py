"""Measure the search for all near pairs against comparing all with all; print a table in markdown.

    python benchmarks/bench_pairs.py [--short] [--rows 1e5 1e6] [--radius 2 4 8] [--threads 2]

The codes are spread evenly, but for one in ten, which is another one with up to three bits flipped. Comparing all with
all takes quadratic time: a part of the queries is measured, and the rest is extrapolated, as the table says.
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="10^5 codes alone")
    parser.add_argument("--rows", type=float, nargs="+", default=[1e5, 1e6])
    parser.add_argument("--radius", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    os.environ["KINBITS_THREADS"] = str(given.threads)  # read by both ways of searching
    print(f"{given.threads} thread(s), {given.bits} bits\n")
    print("| n | radius | build s | pairs found | pair search s | all with all s (extrapolated) | ratio |")
    print("|" + "---|" * 7)
    for rows in [1e5] if given.short else given.rows:
        _measure(make_codes(int(rows), given.bits), given.radius)


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


def _measure(codes: np.ndarray, radii: list[int]) -> None:
    from kinbits import hamming

    started = time.perf_counter()
    index = hamming.MultiIndex.build(codes)
    build = time.perf_counter() - started
    for radius in radii:
        started = time.perf_counter()
        found = sum(len(first) for first, _, _ in index.pairs(radius))
        spent = time.perf_counter() - started
        part = min(len(codes), 128)
        started = time.perf_counter()
        hamming.within(codes[:part], codes, radius)
        whole = (time.perf_counter() - started) * len(codes) / part / 2  # each pair is compared once
        row = [f"{len(codes):.0e}", radius, f"{build:.2f}", f"{found:,}", f"{spent:.2f}"]
        print("|", " | ".join(map(str, [*row, f"{whole:.1f}", f"{whole / spent:.0f}"])), "|", flush=True)


if __name__ == "__main__":
    main()
