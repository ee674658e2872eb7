"""Measure what four threads that encode single query images gain over one, in queries per second.

    python benchmarks/bench_query_threads.py [--backbone efficientnet_lite0] [--rounds 7] [--queries 24]

One thread and four take turns, so that a busy machine slows both alike. The median of the rounds' ratios is printed,
for a network that PyTorch runs and for a compiled one, each with as many threads of its own as there are cores, and
with one. The gain ends at the number of cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

THREADS = 4
Encode = Callable[[Any], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--queries", type=int, default=24)
    given = parser.parse_args()
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # spinning threads would take the cores from the others
    import torch
    from PIL import Image

    from kinbits.backbones import load_backbone
    from kinbits.backbones.compiled import COMPILE_ROWS
    from kinbits.heads import build_head
    from kinbits.model import HashModel, Tower

    rng = np.random.default_rng(0)
    queries = [Image.fromarray(rng.integers(0, 256, (240, 320, 3), np.uint8)) for _ in range(given.queries)]
    backbone = load_backbone(given.backbone)
    head = build_head({"name": "linear", "features": backbone.features, "bits": 64})
    model = HashModel({"image": Tower(backbone, head)})
    cores = torch.get_num_threads()
    print(f"{given.backbone}, {cores} cores, load {os.getloadavg()[0]:.1f} before, {given.rounds} rounds")
    for count in dict.fromkeys([cores, 1]):
        torch.set_num_threads(count)
        report(f"PyTorch, {count} threads of its own", model.encode, queries, given.rounds)
    model.encode(np.zeros((COMPILE_ROWS, 8, 8, 3), np.uint8))  # enough rows that the network is compiled
    report(f"compiled, {cores} threads of its own", model.encode, queries, given.rounds)
    print(f"load {os.getloadavg()[0]:.1f} after")


def report(name: str, encode: Encode, queries: list[Any], rounds: int) -> None:
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(THREADS) as four:
        pools = {1: one, THREADS: four}
        for pool in pools.values():
            rate(pool, encode, queries)  # to warm up
        found = [{count: rate(pool, encode, queries) for count, pool in pools.items()} for _ in range(rounds)]
    alone, together = (statistics.median(each[count] for each in found) for count in pools)
    ratio = statistics.median(each[THREADS] / each[1] for each in found)
    print(f"{name:36} {alone:7.1f} /s with 1, {together:7.1f} /s with {THREADS}: ratio {ratio:.2f}")


def rate(pool: ThreadPoolExecutor, encode: Encode, queries: list[Any]) -> float:
    started = time.perf_counter()
    list(pool.map(encode, queries))
    return len(queries) / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
