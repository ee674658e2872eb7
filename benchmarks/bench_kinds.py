"""Measure every kind of code at the lengths that embeddings are given: bytes an item, and queries a second.

    python benchmarks/bench_kinds.py [--short | --full] [--out FILE]

Vectors of 384 numbers around random centres are encoded by the method of each kind; queries are vectors near stored
ones, and a search includes their encoding. Which neighbours the kinds keep is in ``results/embeddings.md``. The vectors
themselves are ranked by one matrix product.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from _bench import arguments, machine, median, publish, say, table, take_turns

import kinbits

DIMS, CENTRES, LEARN, DISTINCT, K = 384, 2_000, 5_000, 100_000, 10
KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {  # name: method, parameters, options of the search
    "bits, Hamming": ("itq", {}, {}),
    "bits, asymmetric": ("itq", {}, {"distance": "asymmetric"}),
    "bits, rescored": ("itq", {}, {"rescore": 10}),
    "product, 256 words": ("pq", {}, {}),
    "product, 16 words": ("pq", {"words": 16}, {}),
    "scaled, 1 bit a number": ("rabitq", {}, {}),
    "scaled, 2 bits": ("rabitq", {"bits_per_dim": 2}, {}),
    "scaled, 4 bits": ("rabitq", {"bits_per_dim": 4}, {}),
}
LENGTHS = {"scaled, 1 bit a number": (480,), "scaled, 2 bits": (864,), "scaled, 4 bits": (1632,)}  # 96 of factors


def main() -> None:
    given = arguments(__doc__)
    os.environ["KINBITS_THREADS"] = "1"
    torch.set_num_threads(1)
    headings = ["codes", "bits", "bytes an item", "one by one, queries/s", "64 at a time, queries/s"]
    publish([machine(), _TEXT.format(rows=_rows_of(given)), table(headings, _rows(given))], given.out)


_TEXT = """The 10 nearest of {rows:,} items (100,000 different ones), one thread, in memory; medians over rounds taken
in turns. "rescored" orders the first 100 by int8 vectors, which take 388 bytes more an item."""


def _rows_of(given: Namespace) -> int:
    return 1_000_000 if given.full else 100_000


def _rows(given: Namespace) -> Iterator[list[object]]:
    copies = _rows_of(given) // DISTINCT
    vectors, queries = _data(DISTINCT)
    whole = np.tile(vectors, (copies, 1))
    yield _measured("vectors", "", 4 * DIMS, partial(_by_product, whole), queries)
    for name, (method, params, options) in KINDS.items():
        for bits in LENGTHS.get(name, (64, 128, 256, 384) if given.full else (128,)):
            say(f"{name}, {bits} bits")
            rows = vectors[:LEARN]
            model = kinbits.fit(rows, method=method, bits=bits, params=params, normalise=True, progress=False)
            kept = {"keep": "int8", "vectors": whole} if "rescore" in options else {}
            index = kinbits.Index.create(None, np.tile(model.encode(vectors), (copies, 1)), model=model, **kept)
            search = partial(_found, index, options)
            yield _measured(name, bits, bits // 8 + (DIMS + 4 if kept else 0), search, queries)


def _data(rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CENTRES, DIMS), np.float32)
    vectors = centres[rng.integers(0, CENTRES, rows)]
    vectors += rng.standard_normal((rows, DIMS), np.float32)
    queries = vectors[:64] + 0.5 * rng.standard_normal((64, DIMS), np.float32)
    return tuple(part / np.linalg.norm(part, axis=1, keepdims=True) for part in (vectors, queries))


def _by_product(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    scores = queries @ vectors.T
    best = np.argpartition(-scores, K, axis=1)[:, :K]
    return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1), 1)


def _found(index: kinbits.Index, options: dict[str, Any], queries: np.ndarray) -> np.ndarray:
    return np.stack([hits.ids for hits in index.search(queries, k=K, **options)])


def _measured(
    name: str, bits: object, size: int, search: Callable[[np.ndarray], np.ndarray], queries: np.ndarray
) -> list[object]:
    seconds = take_turns({"one": partial(search, queries[:1]), "batch": partial(search, queries)}, rounds=5)
    speeds = (1 / median(seconds, "one"), len(queries) / median(seconds, "batch"))
    return [name, bits, size, *(int(float(f"{speed:.3g}")) for speed in speeds)]


if __name__ == "__main__":
    main()
