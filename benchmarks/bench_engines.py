"""Measure engines behind one interface: build time, recall and latency beside the exact search, from one run.

    python benchmarks/bench_engines.py [--short | --full] [--servers] [--uri ADDRESS ...] [--out FILE]

``--servers`` starts PostgreSQL and Milvus, with the packages that the tests use. Each engine is built by a process of
its own, which is ended at a limit. Queries of all engines take turns, so that a busy machine slows all alike.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from _bench import arguments, machine, publish, say, table

from kinbits import hamming
from kinbits.index import create_index, open_index

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the servers of the tests

BITS = 128
QUERIES = 100
BATCH = 10_000
SHORT, FULL = 20_000, 1_000_000  # codes
LIFE = "3000"  # seconds after which a server ends, whatever became of this script
_SESSION = "-cstatement_timeout={limit} -cmaintenance_work_mem=2GB"  # of PostgreSQL; a graph is built in memory


@dataclass(frozen=True)
class Rival:
    """An engine to measure.

    Attributes:
        place: Location of its index.
        engine: Name of the engine; None if the location says it.
        at_once: Whether it takes all codes in one addition.
        options: Options of the index.
        opened: Options of the index that is searched, by the name of a row.
    """

    place: str
    engine: str | None = None
    at_once: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    opened: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def main() -> None:
    given = arguments(__doc__, extra=_options)
    items = given.items or (FULL if given.full else SHORT)
    parts = [machine(), _TEXT.format(items=items, bits=BITS, limit=given.limit)]
    with ExitStack() as running:
        scratch = Path(running.enter_context(tempfile.TemporaryDirectory()))
        rivals = {
            "faiss-ivf": Rival(str(scratch / "ivf"), "faiss-ivf", at_once=True),
            "faiss-hnsw": Rival(str(scratch / "hnsw"), "faiss-hnsw", at_once=True),
            **{uri: Rival(uri) for uri in given.uri},
            **(_servers(running, given.limit) if given.servers else {}),
        }
        for name in given.data:
            parts += [f"Codes: {name}.", _table(_DATA[name](np.random.default_rng(0), items + QUERIES), rivals, given)]
    publish(parts, given.out)


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--items", type=int, help=f"number of codes. Default: {SHORT:,}, or {FULL:,} with --full")
    parser.add_argument("--servers", action="store_true", help="start PostgreSQL and Milvus, and measure them too")
    parser.add_argument("--uri", nargs="*", default=[], help="places in other servers for new collections and tables")
    parser.add_argument("--limit", type=int, default=900, help="seconds in which an engine must be built. Default: 900")
    parser.add_argument("--data", choices=_DATA, nargs="*", default=["clustered"], help="Default: clustered")


_TEXT = """{items:,} codes of {bits} bits, one query at a time. An engine that is not built in {limit} seconds is left
out. "recall" is the share of the k nearest that are found; "x exact" is the median, over queries, of the ratio to the
time of the exact index for the same query. PostgreSQL runs without fsync, and with
2 GB of maintenance_work_mem; "strong" and "bounded" are levels of
consistency of Milvus, whose settings are its defaults, and which is not flushed."""


def _servers(running: ExitStack, limit: int) -> dict[str, Rival]:
    """Start the servers, and return what is measured on them."""
    import milvus_helpers
    import postgres_helpers

    milvus_helpers.LIFE = postgres_helpers.LIFE = LIFE
    (postgres,) = running.enter_context(postgres_helpers.postgres_servers(1))
    milvus = running.enter_context(milvus_helpers.milvus_server({}))
    session = _SESSION.format(limit=1000 * limit)
    levels = {f"Milvus BIN_FLAT, {level.lower()}": {"consistency": level} for level in ("Strong", "Bounded")}
    return {
        "PostgreSQL, exact": Rival(postgres.address("exact", options=session)),
        "PostgreSQL, HNSW": Rival(postgres.address("graph", options=session), at_once=True, options={"index": "HNSW"}),
        "Milvus": Rival(milvus.address("codes"), opened=levels),
    }


def _uniform(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.integers(0, 256, (rows, BITS // 8), dtype=np.uint8)


def _clustered(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Codes around 1,000 centres, each bit flipped with probability 0.1: nearer to learned codes."""
    codes = np.empty((rows, BITS // 8), np.uint8)
    centres = rng.random((1000, BITS)) < 0.5
    for start in range(0, rows, 100_000):
        part = centres[rng.integers(0, 1000, min(100_000, rows - start))]
        codes[start : start + len(part)] = hamming.pack(part ^ (rng.random(part.shape) < 0.1))
    return codes


_DATA: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {"uniform": _uniform, "clustered": _clustered}


def _table(codes: np.ndarray, rivals: Mapping[str, Rival], given: Namespace) -> str:
    codes, queries = codes[:-QUERIES], codes[-QUERIES:]
    started = time.perf_counter()
    indexes = {"exact": create_index(bits=BITS).add(codes)}
    seconds = {"exact": time.perf_counter() - started}
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "codes.npy", codes)
        for name, rival in rivals.items():
            say(f"building {name}")
            took = _built(rival, Path(folder) / "codes.npy", given.limit)
            if took is None:
                say(f"{name} was not built in {given.limit} seconds, or failed")
                continue
            for row, options in (rival.opened or {name: {}}).items():
                indexes[row], seconds[row] = open_index(rival.place, **options), took
    header = ["engine", "k", "build, s", "recall", "p50, ms", "p99, ms", "x exact"]
    return table(header, _rows(indexes, seconds, queries))


def _built(rival: Rival, codes: Path, limit: int) -> float | None:
    """Build an index in a process of its own; return its seconds, or None if it was not finished in time."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_build, args=(rival, codes, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv() if receiver.poll(limit) else None
    except EOFError:  # it failed, and said why
        return None
    finally:
        process.kill()
        process.join()


def _build(rival: Rival, path: Path, sender: Any) -> None:
    codes = np.load(path)
    index = create_index(rival.place, engine=rival.engine, bits=BITS, **rival.options)
    started = time.perf_counter()
    step = len(codes) if rival.at_once else BATCH
    for start in range(0, len(codes), step):
        part = codes[start : start + step]
        index.add(part, ids=range(start, start + len(part)), **({} if rival.engine else {"upsert": True}))
    sender.send(time.perf_counter() - started)


def _rows(indexes: Mapping[str, Any], seconds: Mapping[str, float], queries: np.ndarray) -> Iterator[list[object]]:
    for k in (10, 100):
        times, found = _measure(indexes, queries, k)
        for name in indexes:
            p50, p99 = (1e3 * float(np.percentile(times[name], part)) for part in (50, 99))
            ratio = float(np.median(np.array(times[name]) / np.array(times["exact"])))
            yield [name, k, round(seconds[name], 1), found[name] / (k * len(queries)), p50, p99, ratio]


def _measure(indexes: Mapping[str, Any], queries: np.ndarray, k: int) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Return for each index the seconds of each query, and how many of the exact k nearest it found."""
    times: dict[str, list[float]] = {name: [] for name in indexes}
    found = dict.fromkeys(indexes, 0)
    for index in indexes.values():
        index.search(queries[0], k=k)  # connections and caches
    for query in queries:
        answers = {}
        for name, index in indexes.items():
            started = time.perf_counter()
            answers[name] = index.search(query, k=k).distances
            times[name].append(time.perf_counter() - started)
        for name, near in answers.items():
            found[name] += int((near <= answers["exact"][-1]).sum())
    return times, found


if __name__ == "__main__":
    main()
