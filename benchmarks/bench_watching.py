"""What it costs to notice that another program has touched the files of an index: looks before each search.

Prints a markdown table of medians of ratios, measured in turns in one run: one query, ten neighbours, with the looks
and without them.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time

import numpy as np

from kinbits.index import Index
from kinbits.index.store import checked_array, state

TURNS = 15


def index_of(folder: str, segments: int, rows: int) -> Index:
    """Make an index of equal segments whose files are mapped."""
    state._MERGE_ROWS = 0
    rng = np.random.default_rng(0)
    index = Index.create(folder, bits=64)
    for _ in range(segments):
        index.add(rng.integers(0, 256, (rows, 8), dtype=np.uint8))
    return Index.open(folder)


def seconds(index: Index, searches: int) -> float:
    query = np.zeros(8, np.uint8)
    started = time.perf_counter()
    for _ in range(searches):
        index.search(query)
    return (time.perf_counter() - started) / searches


def measure(segments: int, rows: int, searches: int) -> tuple[float, float, float]:
    """Return seconds without and with the looks, and the median of the ratios."""
    look = checked_array.CheckedArray._look
    with tempfile.TemporaryDirectory() as folder:
        index = index_of(f"{folder}/x", segments, rows)
        seconds(index, searches)
        pairs = []
        for _ in range(TURNS):
            looking = seconds(index, searches)
            checked_array.CheckedArray._look = lambda self: self._seen or look(self)  # type: ignore[method-assign]
            pairs.append((seconds(index, searches), looking))
            checked_array.CheckedArray._look = look  # type: ignore[method-assign]
    bare, looking = (statistics.median(column) for column in zip(*pairs, strict=True))
    return bare, looking, statistics.median(after / before for before, after in pairs)


def main() -> None:
    cases = [(1, 100_000, 200), (10, 20_000, 50), (100, 10_000, 10)]
    if "--short" not in sys.argv:
        cases.append((1, 10_000_000, 20))
    print("| segments | codes each | without | with | ratio |\n| --- | --- | --- | --- | --- |")
    for segments, rows, searches in cases:
        bare, looking, ratio = measure(segments, rows, searches)
        print(f"| {segments} | {rows:,} | {bare * 1e6:.0f} us | {looking * 1e6:.0f} us | {ratio:.3f} |")


if __name__ == "__main__":
    main()
