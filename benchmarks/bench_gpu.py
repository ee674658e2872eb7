"""Measure the search on a GPU: both ways of measuring distances, against our CPU kernel and faiss on the CPU.

    python benchmarks/bench_gpu.py [--full] [--device cuda] [--codes N ...] [--out FILE]

Without a GPU, ``--device cpu --codes 100000`` shows that the script works; its ratios then mean nothing. The CPU
engines use all cores, and get fewer codes than the GPU where they would take too long; ratios are for each pair of
a query and a code. Every answer is first compared with the kernel's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import numpy as np
import torch
from _bench import Seconds, arguments, machine, median, publish, say, speedup, table, take_turns

from kinbits import hamming
from kinbits.hamming import torch_search
from kinbits.hamming.torch_search import Tuning

_CPU_PAIRS = 2 * 10**9  # that one run of a CPU engine may take
_K = 100
_HEADER = ["bits", "codes", "queries", "popcount, 1e9/s", "product, 1e9/s", "chosen", "x kernel", "x faiss, CPU"]


def main() -> None:
    given = arguments(__doc__, extra=_options)
    if given.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no CUDA device here; --device cpu --codes 100000 tries the script without one")
    name = torch.cuda.get_device_name() if given.device == "cuda" else f"{given.device} tensors"
    note = f"{machine()}; {name}; torch {torch.__version__}. {_K} nearest neighbours; 1e9 pairs per second."
    publish([note, table(_HEADER, _rows(given))], given.out)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--codes", type=int, nargs="*", help="how many (default: 10^7; with --full also 10^8)")


def _rows(given: argparse.Namespace) -> Iterator[list[object]]:
    sizes = given.codes or ([10**7, 10**8] if given.full else [10**7])
    for bits, n in product((64, 128, 256), sizes):
        codes = torch.randint(0, 256, (n, bits // 8), dtype=torch.uint8, device=given.device)
        for q in (1, 64, 1000):
            say(f"{bits} bits, {n:,} codes, {q} queries on {given.device}")
            yield [bits, n, q, *_compare(codes, torch.randint(0, 256, (q, bits // 8), dtype=torch.uint8))]


def _compare(codes: torch.Tensor, queries: torch.Tensor) -> Iterator[object]:
    """Yield both rates in billions of pairs per second, the way that is chosen, and two ratios for the faster way."""
    n, few = len(codes), codes[: max(1000, _CPU_PAIRS // len(queries))].cpu().numpy()
    chosen = "product" if len(queries) >= Tuning().product_queries.get(codes.device.type, n + 1) else "popcount"
    ways = {"popcount": {}, "product": {codes.device.type: 1}}
    _must_agree(ways, queries, codes[: len(few)], few)
    runs: dict[str, Callable[[], object]] = {way: partial(_search, ways[way], queries, codes) for way in ways}
    runs["kernel"] = partial(hamming.topk, queries.numpy(), few, _K)
    runs["faiss"] = partial(_faiss(few), queries.numpy(), _K)
    seconds = take_turns(runs, rounds=5)
    yield from (len(queries) * n / median(seconds, way) / 1e9 for way in ways)
    yield chosen
    yield from (_ratio(seconds, name, n / len(few)) for name in ("kernel", "faiss"))


def _ratio(seconds: Seconds, name: str, more: float) -> float:
    return max(speedup(seconds, way, name) for way in ("popcount", "product")) * more


def _search(way: dict[str, int], queries: torch.Tensor, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    found = torch_search.topk(queries, codes, _K, tuning=Tuning(product_queries=way))
    if codes.is_cuda:
        torch.cuda.synchronize()
    return found


def _must_agree(ways: dict[str, dict[str, int]], queries: torch.Tensor, codes: torch.Tensor, few: np.ndarray) -> None:
    expected = hamming.topk(queries.numpy(), few, _K)
    for name, way in ways.items():
        for ours, theirs in zip(_search(way, queries, codes), expected, strict=True):
            if not np.array_equal(ours.cpu().numpy(), theirs):
                raise SystemExit(f"{name} on {codes.device} and the kernel find different codes; nothing was measured")


def _faiss(codes: np.ndarray) -> Callable[[np.ndarray, int], object]:
    import faiss

    faiss.omp_set_num_threads(hamming.threads())
    index = faiss.IndexBinaryFlat(codes.shape[1] * 8)
    index.add(codes)
    return index.search


if __name__ == "__main__":
    main()
