"""Measure a synchronisation without changes: run as ``python benchmarks/bench_sync.py [FILES]``."""

import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from kinbits.data import open_dataset
from kinbits.encoding import CodesFile, file_stamps
from kinbits.index import Index

PER_FOLDER, TURNS = 1000, 5


def indexed_folder(base, files):
    """Make a folder of files that have the names of images, and an index of random codes for them."""
    raw = np.random.default_rng(0).bytes(2000)
    for number in range(files):
        path = base / "photos" / f"{number // PER_FOLDER:04}" / f"IMG_{number:07}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw + str(number).encode())
    time.sleep(2.5)  # what was changed a moment ago would be compared again
    data = open_dataset(base / "photos")
    codes = np.random.default_rng(1).integers(0, 256, (files, 8), dtype=np.uint8)
    made = CodesFile(codes, data.ids, 64, data.metadata(), root=data.root, stamps=file_stamps(data))
    return Index.create(base / "index", made)


def seconds(call):
    """Return the time that passed, and the time of the processor."""
    started, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    call()
    now = resource.getrusage(resource.RUSAGE_SELF)
    spent = now.ru_utime - used.ru_utime + now.ru_stime - used.ru_stime
    return time.perf_counter() - started, spent


def main():
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as base:
        index = indexed_folder(Path(base), files)
        assert index.sync().unchanged == files
        times = [seconds(index.sync) for _ in range(TURNS)]
    passed, spent = (statistics.median(part) for part in zip(*times, strict=True))
    print(f"{files:,} unchanged files: {passed:.1f} s, of which {spent:.1f} s of one core (medians of {TURNS} turns)")


if __name__ == "__main__":
    main()
