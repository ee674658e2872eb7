"""What 10^9 and 10^10 items cost, and how long a query over many shards takes. docs/scale.md shows the tables.

Hours, bytes and nodes are arithmetic on rates that other scripts measured: docs/speed.md and ``results/bench-*.md``.
Query times are simulated from measured ones of a shard on this machine, which ``--measure`` writes to
``results/scale-latencies.csv``, with the bytes that an index needs for an item to ``results/scale-bytes.csv``.

A query asks all shards at once, and waits for the slowest. The time of each request is drawn from the measured ones of
a shard. A share of the requests is slow by a factor. If requests are repeated, a second one goes to a replica when the
first has taken longer than 95 % of them do, and the sooner answer counts. Requests do not queue, and whether one is
slow tells nothing about the next one.

    python experiments/scale_simulation.py [--measure] [--codes 1000000 10000000] [--bits 64 128] [--searches 3000]
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from _runs import RESULTS, read_rows
from _scale_costs import (
    SEED,
    bits_table,
    bytes_table,
    encode_table,
    markdown,
    measured_bytes,
    nodes_table,
    plan_table,
    powers,
    random_codes,
)
from numpy.typing import NDArray

from kinbits import Index, hamming
from kinbits.bench import provenance, write_rows

K = 100  # hits of a search
WARM, MERGES = 10, 50  # calls that are not counted, and merges in all
SHARDS = (1, 3, 10, 30, 100, 300, 1000)
QUERIES = 20_000  # simulated for each number of shards
NETWORK_MS = 0.5  # stated: there and back, the same for each request
SLOW_SHARE, SLOW_TIMES = 1e-3, 10.0  # stated: one request of a thousand takes ten times as long
HEDGE_AT = 0.95  # a second request is sent after this share of first ones has been answered
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]  # of so many times in ms
Row = Mapping[str, str]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--measure", action="store_true", help="measure this machine first")
    parser.add_argument("--codes", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--bits", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--searches", type=int, default=3000)
    options = parser.parse_args()
    if options.measure:
        save("scale-bytes.csv", measured_bytes())
        save("scale-latencies.csv", measured_times(options.codes, options.bits, options.searches))
    write_tables()


def write_tables() -> None:
    """Write each table that has what it is made of."""
    made = {
        "scale-encode": encode_table,
        "scale-bits": bits_table,
        "scale-nodes": nodes_table,
        "scale-plan": plan_table,
    }
    if (RESULTS / "scale-bytes.csv").exists():
        made["scale-bytes"] = bytes_table
    if (RESULTS / "scale-latencies.csv").exists():
        made["scale-latency"] = latency_table
    for name, table in made.items():
        text = table()
        (RESULTS / f"{name}.md").write_text(text)
        print(text, flush=True)


# Measuring


def save(name: str, rows: Iterable[Mapping[str, object]]) -> None:
    """Write measured rows with the commit and the machine."""
    made = provenance()
    texts = [
        {**{key: str(value) for key, value in row.items()}, "commit": made["commit"], "hardware": made["hardware"]}
        for row in rows
    ]
    RESULTS.mkdir(exist_ok=True)
    write_rows(RESULTS / name, list(texts[0]), texts)


def measured_times(codes: Sequence[int], bits: Sequence[int], searches: int) -> Iterator[Mapping[str, object]]:
    """Yield the times of single queries of a shard, and of merges of the hits of many shards, in ms."""
    for size, length in itertools.product(codes, bits):
        index = Index.create(bits=length).add(random_codes(size, length, SEED))
        queries = random_codes(WARM + searches, length, SEED + 1)
        yield timed("scan", size, length, partial(index.search, k=K, strategy="scan"), queries)
        if length == 64:  # the length for which docs/speed.md has search tables
            index.optimize()
            yield timed("search tables", size, length, partial(index.search, k=K), queries)
    rng = np.random.default_rng(SEED)
    for shards in SHARDS:
        near, ids = np.sort(rng.integers(0, 30, (MERGES, shards, K))), rng.integers(0, 2**62, (MERGES, shards, K))
        yield timed("merge", shards, 0, merge, zip(near, ids, strict=True))


def merge(hits: tuple[NDArray[np.int64], NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the nearest hits of all shards, as engines of several servers do."""
    near, ids = hits
    return np.lexsort((ids.ravel(), near.ravel()))[:K]


def timed(what: str, size: int, bits: int, call: Callable[[Any], Any], inputs: Iterable[Any]) -> Mapping[str, object]:
    """Return the time of a call with each input as a row; the first ten only warm up."""
    times: list[float] = []
    for one in inputs:
        started = time.perf_counter()
        call(one)
        times.append((time.perf_counter() - started) * 1e3)
    del times[:WARM]
    print(f"{what}, {size:,}, {bits} bits: median {np.median(times):.3f} ms, largest {max(times):.3f} ms", flush=True)
    return {
        "what": what,
        "size": size,
        "bits": bits,
        "k": K,
        "threads": hamming.threads(),
        "ms": " ".join(f"{ms:.4g}" for ms in times),
    }


# Simulating


def shard_times(
    measured: NDArray[np.float64],
    *,
    network: float = NETWORK_MS,
    slow_share: float = SLOW_SHARE,
    slow_times: float = SLOW_TIMES,
) -> Draw:
    """Return what draws times of requests to a shard, in ms: measured ones, some of them slow, and the network."""

    def draw(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        times = measured[rng.integers(0, len(measured), count)]
        times[rng.random(count) < slow_share] *= slow_times
        return times + network

    return draw


def simulate(
    draw: Draw, shards: int, queries: int, seed: int, hedge_after: float | None = None
) -> tuple[NDArray[np.float64], float]:
    """Simulate queries that wait for the slowest of all shards.

    Args:
        draw: Draws independent times of requests.
        shards: Number of shards that each query asks.
        queries: Number of queries.
        seed: Of all that is drawn.
        hedge_after: Time after which an unanswered request is sent to a replica, too; None for never.

    Returns:
        The time of each query, float64 ``(queries,)``, and the requests sent to replicas as a share of all shards'.
    """
    rng = np.random.default_rng(seed)
    slowest, repeated = np.zeros(queries), 0
    for _ in range(shards):  # shard by shard: all at once would take gigabytes
        times = draw(rng, queries)
        if hedge_after is not None:
            late = np.flatnonzero(times > hedge_after)
            times[late] = np.minimum(times[late], hedge_after + draw(rng, len(late)))
            repeated += len(late)
        np.maximum(slowest, times, out=slowest)
    return slowest, repeated / (shards * queries)


def hedging_time(draw: Draw, seed: int = SEED) -> float:
    """Return the time after which a request is repeated: the percentile of single requests."""
    return float(np.quantile(draw(np.random.default_rng(seed), 200_000), HEDGE_AT))


# Tables


def latency_table() -> str:
    """Return simulated times of queries, for each measured shard."""
    rows = read_rows(RESULTS / "scale-latencies.csv")
    merges = {int(row["size"]): float(np.median(times_of(row))) for row in rows if row["what"] == "merge"}
    parts = [
        f"Measured on {rows[0]['hardware']} with {rows[0]['threads']} threads, k={rows[0]['k']}, uniformly random "
        f"codes and queries. Stated: {NETWORK_MS} ms of network for each request; {SLOW_SHARE:.1%} of the requests "
        f"take {SLOW_TIMES:.0f} times as long; a request is repeated after the {HEDGE_AT:.0%} quantile of single "
        f"requests. {QUERIES:,} queries are drawn for each row."
    ]
    for row in rows:
        if row["what"] != "merge":
            parts.append(shard_table(row, merges))
    return "\n\n".join(parts) + "\n"


def shard_table(row: Row, merges: Mapping[int, float]) -> str:
    """Return the simulation of one measured shard."""
    measured = times_of(row)
    p50, p95, p99 = np.quantile(measured, [0.5, 0.95, 0.99])
    title = (
        f"**Shards of {int(row['size']):,} codes of {row['bits']} bits, {row['what']}: {len(measured):,} measured "
        f"searches, p50 {p50:.3g} ms, p95 {p95:.3g} ms, p99 {p99:.3g} ms**"
    )
    head = ["shards", "codes", "merge, ms", "p50, ms", "p95, ms", "p99, ms"]
    head += ["repeated: p50", "p95", "p99", "more requests"]
    draw = shard_times(measured)
    after = hedging_time(draw)
    lines = []
    for shards in SHARDS:
        once, _ = simulate(draw, shards, QUERIES, SEED)
        twice, repeated = simulate(draw, shards, QUERIES, SEED, after)
        cells = [
            f"{ms + merges[shards]:.3g}" for times in (once, twice) for ms in np.quantile(times, [0.5, 0.95, 0.99])
        ]
        lines.append(
            [f"{shards:,}", powers(shards * int(row["size"])), f"{merges[shards]:.2g}", *cells, f"{repeated:.1%}"]
        )
    return f"{title}\n\n{markdown(head, lines)}"


def times_of(row: Row) -> NDArray[np.float64]:
    return np.array(row["ms"].split(), np.float64)


if __name__ == "__main__":
    main()
