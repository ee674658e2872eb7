r"""Engines behind one interface: build time, recall and latency beside the exact search, from one run.

    python benchmarks/bench_engines.py [--items 100000] [--bits 64] [--engines faiss-ivf ...] \
        [--uri milvus-lite:x.db#x postgresql://HOST/DATABASE?table=x] [--hnsw]

Latencies are medians of single queries; queries of all engines take turns, so that a busy machine slows all alike.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from kinbits import hamming
from kinbits.index import create_index

QUERIES = 100
BATCH = 10_000


def uniform(rng, rows, bits):
    return hamming.pack(rng.random((rows, bits)) < 0.5)


def clustered(rng, rows, bits):
    """Codes around 1,000 centres, each bit flipped with probability 0.1: nearer to learned codes."""
    codes = np.empty((rows, bits // 8), np.uint8)
    centres = rng.random((1000, bits)) < 0.5
    for start in range(0, rows, 100_000):
        part = centres[rng.integers(0, 1000, min(100_000, rows - start))]
        codes[start : start + len(part)] = hamming.pack(part ^ (rng.random(part.shape) < 0.1))
    return codes


def filled(place, engine, codes, bits, **options):
    index = create_index(place, engine=engine, bits=bits, **options)
    started = time.perf_counter()
    step = BATCH if place else len(codes)
    for start in range(0, len(codes), step):
        rows = range(start, min(start + step, len(codes)))
        index.add(codes[rows.start : rows.stop], ids=list(rows), **({"upsert": True} if place else {}))
    return index, time.perf_counter() - started


def measure(indexes, queries, k):
    """Return for each index the median seconds of a query and its share of the exact k nearest."""
    times, found = {name: [] for name in indexes}, dict.fromkeys(indexes, 0)
    for query in queries:
        answers = {}
        for name, index in indexes.items():
            started = time.perf_counter()
            answers[name] = index.search(query, k=k).distances
            times[name].append(time.perf_counter() - started)
        reach = answers["exact"][-1]
        for name, near in answers.items():
            found[name] += int((near <= reach).sum())
    return {name: (float(np.median(times[name])), found[name] / (k * len(queries))) for name in indexes}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--engines", nargs="*", default=["faiss-hnsw", "faiss-ivf"])
    parser.add_argument(
        "--uri", nargs="*", default=[], help="places in Milvus or PostgreSQL for new collections and tables"
    )
    parser.add_argument("--hnsw", action="store_true", help="in PostgreSQL also a table with a graph")
    parser.add_argument("--data", choices=["uniform", "clustered"], nargs="*", default=["uniform", "clustered"])
    arguments = parser.parse_args()
    print("| codes | engine | build s | k | recall | p50 ms | of exact |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name in arguments.data:
        codes = globals()[name](np.random.default_rng(0), arguments.items + QUERIES, arguments.bits)
        codes, queries = codes[:-QUERIES], codes[-QUERIES:]
        built = {engine: filled(None, engine, codes, arguments.bits) for engine in ["exact", *arguments.engines]}
        for uri in arguments.uri:
            engine = uri.partition(":")[0]
            built[engine] = filled(f"{uri}_{name}", None, codes, arguments.bits)
            if arguments.hnsw and engine == "postgresql":
                built[f"{engine} HNSW"] = filled(f"{uri}_{name}_hnsw", None, codes, arguments.bits, index="HNSW")
        for k in (10, 100):
            rows = measure({engine: index for engine, (index, _) in built.items()}, queries, k)
            for engine, (seconds, recall) in rows.items():
                print(
                    f"| {arguments.items:,} {name} | {engine} | {built[engine][1]:.1f} | {k} | {recall:.3f} "
                    f"| {1e3 * seconds:.2f} | {seconds / rows['exact'][0]:.2f}x |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
