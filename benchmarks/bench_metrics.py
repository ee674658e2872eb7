"""Measure tie-aware mAP against the usual NumPy loop: one argsort and one cumulative precision per query.

    python benchmarks/bench_metrics.py [--short | --full] [--out FILE]

The loop is what most public hashing code does (e.g. CalcTopMap of DeepHash-pytorch): codes of -1 and +1 as float32,
labels one-hot as int64, one matrix product and one default argsort per query. It gets one thread, because NumPy sorts
with one. ``--full`` adds other lengths, several labels per item, other metrics, and a database of 10^7 codes.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from functools import partial

import numpy as np
from _bench import arguments, machine, median, publish, random_codes, say, speedup, table, take_turns

from kinbits import hamming, metrics

QUERIES, ITEMS, CLASSES = 1000, 59_000, 10


def main() -> None:
    given = arguments(__doc__)
    rounds = 5
    parts = [
        machine(),
        _SPEED,
        table(
            ["bits", "labels", "loop, s", "ours, s", "x, 1 thread", f"x, {hamming.threads()} threads"],
            _rows(given.full, rounds),
        ),
    ]
    parts += [_EQUAL, table(["what", "loop", "ours", "difference"], _equal())]
    if given.full:
        parts += [
            _OTHERS,
            table(["metric", "ms"], _others()),
            _LARGE,
            table(["database", "queries", "s", "memory above codes, MB"], _large()),
        ]
    publish(parts, given.out)


_SPEED = f"""mAP@all of {QUERIES:,} queries and {ITEMS:,} codes with {CLASSES} classes, ties in distance counted with
their expected value, from packed codes and labels to the number. "x": how many times faster than the loop, the median
over rounds taken in turns."""
_EQUAL = """The same number: with all ties broken by database order, and as the mean over random orders (± its standard
error)."""
_OTHERS = (
    f"""Single metrics of {QUERIES:,} queries and {ITEMS:,} codes of 64 bits with several labels each, all threads."""
)
_LARGE = """mAP@all, precision@r2 and ndcg@100 in one call."""


def case(bits: int, multi: bool, queries: int = QUERIES, items: int = ITEMS):
    """Return codes and labels of queries and database; codes of one class share most bits, as trained ones do."""
    rng = np.random.default_rng(bits)
    classes = rng.integers(0, CLASSES, queries + items)
    centres = rng.integers(0, 2, (CLASSES, bits))
    flipped = rng.random((queries + items, bits)) < 0.3
    codes = np.packbits(centres[classes] ^ flipped, axis=1)
    labels = np.eye(CLASSES, dtype=np.int64)[classes]
    if multi:
        labels = np.maximum(labels, rng.random(labels.shape) < 0.1)
    return codes[:queries], codes[queries:], labels[:queries], labels[queries:]


def loop(
    query: np.ndarray, database: np.ndarray, query_labels: np.ndarray, labels: np.ndarray, kind: str | None
) -> float:
    """Compute mAP one query at a time, from codes of -1 and +1 and one-hot labels."""
    total = 0.0
    for code, label in zip(query, query_labels, strict=True):
        relevant = (np.dot(label, labels.T) > 0).astype(np.float32)
        distance = 0.5 * (database.shape[1] - np.dot(code, database.T))
        relevant = relevant[np.argsort(distance, kind=kind)]
        count = np.arange(1, int(relevant.sum()) + 1)
        total += np.mean(count / (np.flatnonzero(relevant == 1) + 1.0))
    return total / len(query)


def signs(codes: np.ndarray) -> np.ndarray:
    return np.unpackbits(codes, axis=1).astype(np.float32) * 2 - 1


def ours(given, threads: int | None = None, ties: str = "expected", seed: int = 0) -> float:
    query, database, query_labels, labels = given
    relevance = metrics.LabelRelevance(query_labels, labels)
    return metrics.evaluate(query, database, relevance, ["map@all"], ties=ties, seed=seed, threads=threads)["map@all"]


def single(given):
    """Turn one-hot labels into class numbers."""
    return given[0], given[1], given[2].argmax(axis=1), given[3].argmax(axis=1)


def _rows(full: bool, rounds: int) -> Iterator[list[object]]:
    for bits, multi in [(64, False), (16, False), (128, False), (64, True)] if full else [(64, False)]:
        say(f"{bits} bits, {'several labels' if multi else 'one label'}")
        given = case(bits, multi)
        prepared = signs(given[0]), signs(given[1]), given[2], given[3]
        known = given if multi else single(given)
        runs = {
            "loop": partial(loop, *prepared, None),
            "one": partial(ours, known, threads=1),
            "all": partial(ours, known),
        }
        seconds = take_turns(runs, rounds=rounds)
        times = [median(seconds, name) for name in ("loop", "one")]
        ratios = [speedup(seconds, name, "loop") for name in ("one", "all")]
        yield [bits, "several" if multi else "one", *times, *ratios]


def _equal() -> Iterator[list[object]]:
    say("equality")
    given = case(64, False, queries=20)
    prepared = signs(given[0]), signs(given[1]), given[2], given[3]
    strict = loop(*prepared, "stable"), ours(single(given), ties="stable")
    yield ["database order", f"{strict[0]:.12f}", f"{strict[1]:.12f}", f"{abs(strict[0] - strict[1]):.1e}"]
    rng = np.random.default_rng(0)
    shuffled = []
    for _ in range(20):
        order = rng.permutation(len(given[1]))
        shuffled.append(loop(prepared[0], prepared[1][order], prepared[2], prepared[3][order], "stable"))
    error = np.std(shuffled, ddof=1) / np.sqrt(len(shuffled))
    found = ours(single(given))
    yield [
        "20 random orders",
        f"{np.mean(shuffled):.6f} ± {error:.6f}",
        f"{found:.6f}",
        f"{abs(found - np.mean(shuffled)):.1e}",
    ]


def _others() -> Iterator[list[object]]:
    query, database, query_labels, labels = case(64, True)
    relevance = metrics.LabelRelevance(query_labels, labels)
    for name in ("map@all", "map@5000/retrieved", "precision@r2", "ndcg@all", "wmap@all", "acg@100", "mrr", "hit@10"):
        say(name)
        seconds = take_turns({name: lambda name=name: metrics.evaluate(query, database, relevance, [name])}, rounds=3)
        yield [name, round(median(seconds, name) * 1000)]


def _large() -> Iterator[list[object]]:
    items, queries = 10_000_000, 50
    say(f"{items:,} codes")
    codes, asked = random_codes(items, 8), random_codes(queries, 8, seed=1)
    labels = np.random.default_rng(2).integers(0, 100, items)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    relevance = metrics.LabelRelevance(np.arange(queries), labels)
    metrics.evaluate(asked, codes, relevance, ["map@all", "precision@r2", "ndcg@100"])
    seconds = time.perf_counter() - started
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    yield [f"{items:,}", queries, seconds, round(peak)]


if __name__ == "__main__":
    main()
