"""Measure the exact scan of look-up tables against faiss's product quantizers and NumPy.

    python benchmarks/bench_tables.py [--short | --full] [--out FILE]

Codes and tables are those of a product quantizer that faiss trained on random vectors, so every rival scans the same
codes for the same queries. Ours and IndexPQ add up float32. IndexPQFastScan adds up tables of 8 bits: its distances,
and at times its neighbours, are approximate; the table says how many of its neighbours are among the true ones.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from itertools import product

import faiss
import numpy as np
from _bench import arguments, machine, median, publish, say, speedup, table, take_turns

from kinbits import hamming

_TRAIN, _EACH = 20_000, 4  # vectors that the quantizer learns from; dimensions of a part
_ROWS = 300_000
_LOOP_ROWS = 30_000  # of the NumPy loop, which takes long


def main() -> None:
    given = arguments(__doc__)
    headings = [
        "parts",
        "words",
        "queries",
        "k",
        "codes",
        "ours, ms a query",
        "x rival",
        "rival",
        "x NumPy",
        "its recall",
    ]
    publish([machine(), _TEXT, table(headings, _rows(given))], given.out)


_TEXT = """The k nearest by sums of look-ups, one thread. "x" says how many times faster we are for each query: the
median over rounds taken in turns. The rival is faiss IndexPQFastScan for 16 words, and IndexPQ for 256. Recall: the
share of the true k nearest among those of the rival."""


def _rows(given: Namespace) -> Iterator[list[object]]:
    kinds = ((16, 16), (8, 256), (32, 16), (16, 256), (96, 16)) if given.full else ((16, 16), (8, 256))
    for (parts, words), queries, k in product(
        kinds, (1, 64) if given.full else (64,), (10, 100) if given.full else (10,)
    ):
        say(f"{parts} parts of {words} words, {queries} queries, k={k}")
        yield _compare(parts, words, queries, k, 11)


def _compare(parts: int, words: int, count: int, k: int, rounds: int) -> list[object]:
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((_ROWS, parts * _EACH), np.float32)
    queries = vectors[:count] + 0.5 * rng.standard_normal((count, parts * _EACH), np.float32)
    bits = words.bit_length() - 1
    rival = (faiss.IndexPQFastScan if words == 16 else faiss.IndexPQ)(parts * _EACH, parts, bits)
    rival.train(vectors[:_TRAIN])
    rival.add(vectors)
    codes = rival.pq.compute_codes(vectors)
    if words == 16:  # faiss puts the first part into the lower half of a byte
        codes = codes << 4 | codes >> 4
    books = faiss.vector_to_array(rival.pq.centroids).reshape(parts, words, _EACH)

    def tables() -> np.ndarray:  # part of our time: faiss makes its own in each search
        split = queries.reshape(count, parts, 1, _EACH)
        return np.square(split - books).sum(axis=3)

    def ours() -> tuple[np.ndarray, np.ndarray]:
        return hamming.table_topk(tables(), codes, k, threads=1)

    distances, rows = ours()
    theirs, found = rival.search(queries, k)
    if words == 256 and not np.allclose(distances, theirs, rtol=1e-4):
        raise SystemExit("IndexPQ finds other distances than we do")
    recall = np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(rows, found, strict=True)])
    runs = {"ours": ours, "rival": partial(rival.search, queries, k), "numpy": partial(_numpy, tables(), codes, k)}
    seconds = take_turns(runs, rounds=rounds)
    return [
        parts,
        words,
        count,
        k,
        _ROWS,
        1000 * median(seconds, "ours") / count,
        speedup(seconds, "ours", "rival"),
        type(rival).__name__,
        speedup(seconds, "ours", "numpy") * _ROWS / _LOOP_ROWS * count,
        recall,
    ]


def _numpy(tables: np.ndarray, codes: np.ndarray, k: int) -> np.ndarray:
    """Answer one query over a part of the codes with a loop over parts."""
    few, words = codes[:_LOOP_ROWS], tables.shape[2]
    parts = few if words == 256 else np.stack([few >> 4, few & 15], axis=2).reshape(len(few), -1)
    sums = np.zeros(len(few), np.float32)
    for part in range(parts.shape[1]):
        sums += tables[0, part, parts[:, part]]
    return np.argpartition(sums, k)[:k]


if __name__ == "__main__":
    main()
