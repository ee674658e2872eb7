"""Measure exact multi-index search against the scan, one query at a time; print a table in markdown.

    python benchmarks/bench_multi_index.py --short
    python benchmarks/bench_multi_index.py [--rows 1e6 1e7 1e8] [--data uniform clustered collapsed] [--codes FILE.npy]

Scan and ``strategy="auto"`` take turns, so that a busy machine slows both alike; the ratio is the median over the
rounds of scan / auto. "grouped" is one pass over the distinct codes. Queries are held out. ``--codes`` takes packed
codes, uint8 ``(n, bytes)``; the last thousandth of them is asked for.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kinbits.hamming import MultiIndex

QUERIES = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a million codes, uniform and clustered")
    parser.add_argument("--rows", type=float, nargs="+", default=[1e6, 1e7, 1e8])
    parser.add_argument("--data", nargs="+", default=["uniform", "clustered", "collapsed"])
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--codes", nargs="*", default=[], help="files of packed codes, measured besides")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1, help="threads that search")
    given = parser.parse_args()
    if given.short:
        given.rows, given.data = [1e6], ["uniform", "clustered"]
    os.environ["KINBITS_THREADS"] = str(given.threads)  # read by both ways of searching
    print(f"{given.threads} thread(s), one query at a time, {given.rounds} rounds\n")
    columns = "n, data, bits, distinct, m, build s, bytes/code, k, auto chose, scan ms, grouped ms, auto ms, ratio"
    print("|", columns.replace(",", " |"), "|\n|" + "---|" * 13)
    for name, codes, queries in _subjects(given):
        _measure(name, codes, queries, given.rounds)


def _subjects(given: argparse.Namespace) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for rows in given.rows:
        for kind in given.data:
            generator = np.random.default_rng(0)
            codes = make_codes(generator, int(rows) + QUERIES, given.bits, kind)
            yield kind, codes[:-QUERIES], codes[-QUERIES:].copy()
    for path in given.codes:
        codes = np.load(path, mmap_mode="r")
        held = max(1, len(codes) // 1000)
        yield os.path.basename(path), codes[:-held], np.array(codes[-held:])


def make_codes(generator: np.random.Generator, rows: int, bits: int, kind: str) -> np.ndarray:
    """Draw codes spread evenly; around 10^4 centres, each bit flipped in 5 %; or 100 distinct ones."""
    width = bits // 8
    if kind == "uniform":
        return generator.integers(0, 256, (rows, width), dtype=np.uint8)
    centres = generator.integers(0, 256, (100 if kind == "collapsed" else 10_000, width), dtype=np.uint8)
    codes = centres[generator.integers(0, len(centres), rows)]
    if kind == "clustered":
        for begin in range(0, rows, 1 << 16):
            flips = generator.random((min(1 << 16, rows - begin), bits), dtype=np.float32) < 0.05
            codes[begin : begin + len(flips)] ^= np.packbits(flips, axis=1)
    return codes


def _measure(name: str, codes: np.ndarray, queries: np.ndarray, rounds: int) -> None:
    from kinbits.hamming import MultiIndex

    started = time.perf_counter()
    index = MultiIndex.build(codes, threads=2)
    build = time.perf_counter() - started
    size = sum(array.nbytes for array in index.arrays().values()) / len(codes)
    for k in (10, 100):
        chosen = index.explain(k=k)
        times = {strategy: [] for strategy in ("scan", "grouped", "auto")}
        for turn in range(rounds):
            for strategy, spent in times.items():
                count = 20 if strategy == "auto" else 1  # short searches are measured more often
                at = np.arange(20 * turn, 20 * turn + count) % len(queries)
                spent.append(statistics.median(_seconds(index, queries[i : i + 1], k, strategy) for i in at))
        ratio = statistics.median(a / b for a, b in zip(times["scan"], times["auto"], strict=True))
        middle = {strategy: 1e3 * statistics.median(spent) for strategy, spent in times.items()}
        row = [f"{len(codes):.0e}", name, 8 * codes.shape[1], f"{chosen.distinct:,}", chosen.substrings]
        row += [f"{build:.1f}", f"{size:.1f}", k, chosen.strategy, f"{middle['scan']:.2f}"]
        row += [f"{middle['grouped']:.2f}", f"{middle['auto']:.3f}", f"{ratio:.1f}"]
        print("|", " | ".join(map(str, row)), "|", flush=True)


def _seconds(index: MultiIndex, query: np.ndarray, k: int, strategy: str) -> float:
    started = time.perf_counter()
    index.topk(query, k, strategy=strategy)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
