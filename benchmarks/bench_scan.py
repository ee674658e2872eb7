"""Measure the exact scan against faiss IndexBinaryFlat, USearch and NumPy, and against the speed of memory.

    python benchmarks/bench_scan.py [--short | --full] [--out FILE]

``--full`` takes about half an hour. USearch is measured if it is installed; it is no dependency. Every rival answers
the same queries over the same codes as we do, first once to see that its distances are ours, then in turns with us.
Rivals that would take too long get fewer queries and then fewer codes, which the table says; fewer codes sit in the
caches and flatter them.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import numpy as np
from _bench import Reader, arguments, machine, median, publish, random_codes, say, speedup, table, take_turns

from kinbits import hamming

Search = Callable[[np.ndarray, int], np.ndarray]  # queries and k to the distances found

_LARGE = 80 << 20  # bytes of codes: more than twice the largest cache of a usual processor
_MOST_PAIRS = {"faiss": 2 * 10**9, "usearch": 3 * 10**7, "numpy": 3 * 10**7}  # that one run of a rival may take
_ENOUGH = 32  # queries: a larger batch makes no rival faster for each query
_USUAL = {64: 20_000_000, 128: 10_000_000, 256: 5_000_000, 512: 2_500_000}  # codes of the memory rows: 160 MB


def main() -> None:
    given = arguments(__doc__)
    say("short version; --full measures everything" if not given.full else "everything; about half an hour")
    rivals = table(
        ["bits", "queries", "k", "threads", "codes", "ours, 1e9/s", *map(_heading, _names(given))], _rows(given)
    )
    memory = table(["bits", "codes", "k", "threads", "read, GB/s", "scan, GB/s", "scan / read"], _memory_rows(given))
    publish([machine(), _RIVALS, rivals, _MEMORY, memory], given.out)


_RIVALS = """Exact k nearest neighbours of uniformly random codes. "ours" counts pairs of a query and a code. The other
columns say how many times faster we are for each pair: the median over rounds taken in turns ("@" the
codes and queries that the rival got, where it did not get all)."""
_MEMORY = """One query over codes that no cache holds, against a loop that does nothing but read as many bytes."""


def _names(given: Namespace) -> list[str]:
    usearch = ["usearch"] if importlib.util.find_spec("usearch") else []
    return ["faiss", *usearch, "numpy"] if given.full else ["faiss"]


def _heading(name: str) -> str:
    version = importlib.metadata.version({"faiss": "faiss-cpu"}.get(name, name))
    return f"x {name} {version}" + (", 1 thread" if name == "numpy" else "")


def _rows(given: Namespace) -> Iterator[list[object]]:
    if given.full:
        cases = list(product((64, 128, 256, 512), (1, 64, 1000), (1, 10, 100, 1000), (1, 2)))
    else:
        cases = list(product((64, 128, 256), (64,), (100,), (1,)))
    for bits, q, k, threads in cases:
        n = _LARGE * 8 // bits // (10 if q == 1000 else 1) if given.full else 1_000_000
        codes, queries = random_codes(n, bits // 8), random_codes(q, bits // 8, seed=1)
        say(f"{bits} bits, {q} queries, k={k}, {threads} threads, {n:,} codes")
        yield [bits, q, k, threads, n, *_compare(codes, queries, k, threads, _names(given), 3 if given.full else 11)]


def _compare(
    codes: np.ndarray, queries: np.ndarray, k: int, threads: int, names: list[str], rounds: int
) -> Iterator[object]:
    """Yield our pairs per nanosecond, then how many times faster we are than each rival."""
    runs, shares = {"ours": lambda: hamming.topk(queries, codes, k, threads=threads)}, {}
    for name in names:
        few, part = _shortened(queries, codes, k, _MOST_PAIRS[name])
        search = _SEARCHES[name](part, threads)
        _must_agree(name, search(few, k), hamming.topk(few, part, k, threads=threads)[0])
        runs[name] = partial(search, few, k)
        shares[name] = len(part), len(few)
    seconds = take_turns(runs, rounds=rounds)
    pairs = len(codes) * len(queries)
    yield pairs / median(seconds, "ours") / 1e9
    for name, (n, q) in shares.items():
        note = f" @ {n:,} x {q}" if n * q < pairs else ""
        yield f"{speedup(seconds, 'ours', name) * pairs / (n * q):.3g}{note}"


def _shortened(queries: np.ndarray, codes: np.ndarray, k: int, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Leave out queries, then codes, until no more pairs than this are left, or no more codes than k needs."""
    few = queries[: max(_ENOUGH, pairs // len(codes))]
    return few, codes[: max(2 * k, pairs // len(few))]


def _must_agree(name: str, found: np.ndarray, ours: np.ndarray) -> None:
    """Stop if a rival answers otherwise: ties may fall differently, distances may not."""
    if not np.array_equal(np.sort(found, axis=1), ours):
        raise SystemExit(f"{name} found other distances than we did; nothing was measured")


def _faiss(codes: np.ndarray, threads: int) -> Search:
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexBinaryFlat(codes.shape[1] * 8)
    index.add(codes)
    return lambda queries, k: index.search(queries, k)[0]


def _usearch(codes: np.ndarray, threads: int) -> Search:
    from usearch.index import MetricKind, search

    def run(queries: np.ndarray, k: int) -> np.ndarray:
        found = search(codes, queries, k, MetricKind.Hamming, exact=True, threads=threads, dtype="b1")
        return found.distances.reshape(len(queries), -1)

    return run


def _numpy(codes: np.ndarray, threads: int) -> Search:
    words = codes.view(np.uint64)

    def run(queries: np.ndarray, k: int) -> np.ndarray:
        found = np.empty((len(queries), k), np.int64)
        for row, query in enumerate(queries.view(np.uint64)):
            distances = np.bitwise_count(words ^ query).sum(axis=1, dtype=np.int32)  # its fast partition
            near = np.argpartition(distances, k - 1)[:k]
            found[row] = np.sort(distances[near])
        return found

    return run


_SEARCHES: dict[str, Callable[[np.ndarray, int], Search]] = {"faiss": _faiss, "usearch": _usearch, "numpy": _numpy}


def _memory_rows(given: Namespace) -> Iterator[list[object]]:
    for bits, threads in product(_USUAL, (1, 2)) if given.full else [(64, 1)]:
        n, k = _USUAL[bits], 100
        say(f"{bits} bits, one query, {threads} threads, {n:,} codes, against reading alone")
        codes, query = random_codes(n, bits // 8), random_codes(1, bits // 8, seed=1)
        read = Reader(codes.nbytes, threads)
        runs = {"scan": lambda: hamming.topk(query, codes, k, threads=threads), "read": read}  # noqa: B023 - run at once
        seconds = take_turns(runs, rounds=11)
        read_rate = read.bytes / median(seconds, "read") / 1e9
        scan_rate = codes.nbytes / median(seconds, "scan") / 1e9
        share = speedup(seconds, "scan", "read") * codes.nbytes / read.bytes
        yield [bits, n, k, threads, read_rate, scan_rate, f"{share:.0%}"]


if __name__ == "__main__":
    main()
