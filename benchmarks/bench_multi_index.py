"""Measure exact multi-index search against the scan, one query at a time.

    python benchmarks/bench_multi_index.py [--short | --full] [--out FILE]
    python benchmarks/bench_multi_index.py [--rows 1e6 1e7] [--data uniform clustered] [--codes FILE.npy]

``--full`` goes up to 10^8 codes, which takes 5 GB of memory, and adds the codes that a model learned on CIFAR-10, where
that is at hand. ``--codes`` takes packed codes, uint8 ``(n, bytes)``; the last thousandth of them is asked for.
"""

from __future__ import annotations

import os
import statistics
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from _bench import arguments, machine, publish, say, table

if TYPE_CHECKING:
    from kinbits.hamming import MultiIndex

QUERIES = 200
COLUMNS = "n, data, bits, distinct, m, build s, bytes/code, k, auto takes, scan ms, grouped ms, auto ms, ratio"
NOTE = """Exact k nearest neighbours by `strategy="auto"` against the scan, one query at a time on {threads} thread(s).
They take turns, and the ratio is the median over the rounds of scan / auto. "grouped" is one pass over the distinct
codes; m is the number of substring tables. Queries are held out; tables are built by two threads."""


def main() -> None:
    given = arguments(__doc__, extra=_options)
    os.environ["KINBITS_THREADS"] = str(given.threads)  # read by both ways of searching
    rows = [row for subject in _subjects(given) for row in _measure(*subject, given.rounds)]
    publish([machine(), NOTE.format(threads=given.threads), table(COLUMNS.split(", "), rows)], given.out)


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--rows", type=float, nargs="+", help="numbers of codes")
    parser.add_argument("--data", nargs="+", help="uniform, clustered, collapsed")
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--codes", nargs="*", default=[], help="files of packed codes, measured besides")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1, help="threads that search")


def _subjects(given: Namespace) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for rows in given.rows or ([1e6, 1e7, 1e8] if given.full else [1e6]):
        for kind in given.data or ["uniform", "clustered", "collapsed"][: None if given.full else 2]:
            say(f"{rows:.0e} {kind} codes")
            codes = make_codes(np.random.default_rng(0), int(rows) + QUERIES, given.bits, kind)
            yield kind, codes[:-QUERIES], codes[-QUERIES:].copy()
    if given.full and not given.rows:
        yield from _learned()
    for path in given.codes:
        codes = np.load(path, mmap_mode="r")
        held = max(1, len(codes) // 1000)
        yield os.path.basename(path), codes[:-held], np.array(codes[-held:])


def _learned() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield the codes that hashnet learns on CIFAR-10: an easy case, many are equal."""
    import kinbits
    from kinbits.data import FeatureCache

    try:
        splits = kinbits.load_protocol("cifar10-1k-5k-54k")
    except kinbits.DataError as error:
        say(f"no codes of a trained model: {error}")
        return
    say("codes of a model trained on CIFAR-10")
    model = kinbits.fit(splits.train, method="hashnet", bits=64, progress=False)
    query, database = (model.encode(part, cache=FeatureCache()) for part in (splits.query, splits.database))
    yield "hashnet, CIFAR-10", database, query


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


def _measure(name: str, codes: np.ndarray, queries: np.ndarray, rounds: int) -> Iterator[list[object]]:
    from kinbits.hamming import MultiIndex

    started = time.perf_counter()
    index = MultiIndex.from_codes(codes, threads=2)
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
        facts = [f"{len(codes):,}", name, 8 * codes.shape[1], f"{chosen.distinct:,}", chosen.substrings, build, size, k]
        yield [*facts, chosen.strategy, middle["scan"], middle["grouped"], middle["auto"], ratio]


def _seconds(index: MultiIndex, query: np.ndarray, k: int, strategy: str) -> float:
    started = time.perf_counter()
    index.topk(query, k, strategy=strategy)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
