"""What it costs to notice that another program has touched the files of an index, which is checked before each search.

Prints a markdown table of medians, measured in turns in one run: one query, ten neighbours, in mapped files, and in the
same segments in memory, where nothing needs to be checked.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time

import numpy as np

from kinbits.index import Index, IndexOptions

TURNS = 15
SEPARATE = IndexOptions(merge_rows=0)  # every addition is a segment of its own


def filled(index: Index, segments: int, rows: int) -> Index:
    """Add equal segments of random codes."""
    rng = np.random.default_rng(0)
    for _ in range(segments):
        index.add(rng.integers(0, 256, (rows, 8), dtype=np.uint8))
    return index


def seconds(index: Index, searches: int) -> float:
    query = np.zeros(8, np.uint8)
    started = time.perf_counter()
    for _ in range(searches):
        index.search(query)
    return (time.perf_counter() - started) / searches


def measure(segments: int, rows: int, searches: int) -> tuple[float, float, float]:
    """Return seconds in memory and in files, and the median of the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        filled(Index.create(f"{folder}/x", bits=64, options=SEPARATE), segments, rows)
        in_files = Index.open(f"{folder}/x")
        in_memory = filled(Index.create(bits=64, options=SEPARATE), segments, rows)
        for index in (in_files, in_memory):
            seconds(index, searches)
        pairs = [(seconds(in_memory, searches), seconds(in_files, searches)) for _ in range(TURNS)]
    memory, files = (statistics.median(column) for column in zip(*pairs, strict=True))
    return memory, files, statistics.median(after / before for before, after in pairs)


def main() -> None:
    cases = [(1, 100_000, 200), (10, 20_000, 50), (100, 10_000, 10)]
    if "--short" not in sys.argv:
        cases.append((1, 10_000_000, 20))
    print("| segments | codes each | in memory | in files | ratio |\n| --- | --- | --- | --- | --- |")
    for segments, rows, searches in cases:
        memory, files, ratio = measure(segments, rows, searches)
        print(f"| {segments} | {rows:,} | {memory * 1e6:.0f} us | {files * 1e6:.0f} us | {ratio:.3f} |")


if __name__ == "__main__":
    main()
