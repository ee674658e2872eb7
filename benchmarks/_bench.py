"""What the benchmark scripts share: runs that take turns, medians of ratios, markdown tables, the machine's name.

Other work disturbs every clock. Rivals therefore take turns, round by round, and only ratios within one round are
trusted; their median is printed.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

# Before an engine loads OpenMP: its idle threads must sleep, or they take the cores from whoever's turn it is.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

Seconds = dict[str, list[float]]
_SHORTEST = 0.005  # seconds: shorter runs are repeated within a round, since clocks and wake-ups take microseconds


def arguments(doc: str, *, extra: Callable[[argparse.ArgumentParser], Any] | None = None) -> argparse.Namespace:
    """Parse ``--short``, ``--full`` and ``--out``, and what ``extra`` adds; ``given.full`` says which one it is."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--short", action="store_true", help="the few rows that `make bench` prints (default)")
    size.add_argument("--full", action="store_true", help="all rows")
    parser.add_argument("--out", metavar="FILE", help="also write the tables to this file")
    if extra:
        extra(parser)
    return parser.parse_args()


def say(message: str) -> None:
    """Tell on standard error how far the run is; the tables alone go to standard output."""
    print(f"[{time.strftime('%H:%M:%S')}] {message}", file=sys.stderr, flush=True)


def publish(parts: Iterable[str], out: str | None) -> None:
    """Print the finished tables and texts, and write them to ``out`` if it is given."""
    text = "\n\n".join(parts) + "\n"
    print(text, end="", flush=True)
    if out:
        Path(out).write_text(text)


def take_turns(
    runs: Mapping[str, Callable[[], Any]], *, rounds: int = 7, before: Callable[[], Any] | None = None
) -> Seconds:
    """Time every run once per round, after one round that only warms up.

    Args:
        runs: What to time, by name.
        rounds: How many times each is timed.
        before: Called before each timed run, untimed, e.g. to empty a cache.

    Returns:
        Seconds per call, ``rounds`` values for each name.
    """
    repeats = {name: max(1, round(_SHORTEST / _time(run, 1))) for name, run in runs.items()}
    seconds: Seconds = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            if before:
                before()
            seconds[name].append(_time(run, repeats[name]))
    return seconds


def _time(run: Callable[[], Any], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        run()
    return max(time.perf_counter() - started, 1e-9) / repeats


def median(seconds: Seconds, name: str) -> float:
    """Return the median seconds of one run."""
    return float(np.median(seconds[name]))


def speedup(seconds: Seconds, ours: str, theirs: str) -> float:
    """Return how many times faster ``ours`` is than ``theirs``: the median over rounds of the ratio in a round."""
    return float(np.median(np.array(seconds[theirs]) / np.array(seconds[ours])))


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay out a markdown table; numbers are aligned to the right, as the first row says.

    Each row is also told on standard error as soon as it is there: a long run that is stopped leaves its numbers.
    """
    cells = []
    for row in rows:
        cells.append([f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row])
        say("  ".join(cells[-1]))
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    right = [bool(cells) and cells[0][i][:1].isdigit() for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True))
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * (w - 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True)]
    return "\n".join([line(list(header)), line(rule), *map(line, cells)])


def machine() -> str:
    """Name the processor, its cores and memory, and the instructions that the kernel uses on it."""
    from kinbits import hamming

    facts = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.split(":")[1].strip() for line in facts.splitlines() if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB; kernel path: {hamming.simd()}; NumPy {np.__version__}"


def random_codes(rows: int, width: int, seed: int = 0) -> np.ndarray:
    """Return uniformly random codes, uint8 ``(rows, width)``."""
    return np.random.default_rng(seed).integers(0, 256, (rows, width), dtype=np.uint8)


class Reader:
    """Reads a large array as fast as this machine can, which is the bound on any search that touches all codes.

    Libc's memcmp of two equal halves: two streams at once, a few vector instructions for each cache line. Of the sums,
    maxima and products of NumPy and torch that were tried none read faster, nor did hand-written C++.
    """

    def __init__(self, size: int, threads: int = 1) -> None:
        self._halves = np.ones((2, size // 2), np.uint8)
        self.bytes = self._halves.nbytes
        self._memcmp = ctypes.CDLL(None).memcmp
        self._memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        self._cuts = [size // 2 * part // threads for part in range(threads + 1)]
        self._pool = ThreadPoolExecutor(threads)

    def __call__(self) -> None:
        list(self._pool.map(self._read, self._cuts[:-1], self._cuts[1:]))

    def _read(self, start: int, stop: int) -> None:
        one, two = (half.ctypes.data + start for half in self._halves)
        self._memcmp(one, two, stop - start)  # ctypes lets other threads run meanwhile
