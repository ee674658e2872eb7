"""Measure the neighbour lists that methods without labels and `prl` learn from: time, memory, share found.

python benchmarks/bench_neighbours.py [--short | --full] [--rows 1e5 1e6] [--width 256] [--count 100] [--out FILE]
"""

from __future__ import annotations

import multiprocessing as mp
import resource
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _bench import arguments, machine, publish, say, table

COLUMNS = "n, d, neighbours, search, s, peak memory GB, share of the nearest found"
NOTE = """Each row's nearest rows by Euclidean distance, on {threads} thread(s). The features lie in a float16 file, as
cached ones do: n / 100 groups, whose centres lie along 32 directions. Peak memory is that of a process of its own, with
the pages of the file that it has read. What was found is compared with an exact search for 100 rows."""
SAMPLE, PART = 100, 8192


def main() -> None:
    given = arguments(__doc__, extra=_options)
    sizes = given.rows or ([1e5, 1e6] if given.full else [1e5])
    rows = []
    for n in (int(size) for size in sizes):
        with tempfile.TemporaryDirectory() as folder:
            file = write_features(Path(folder) / "features.npy", n, given.width)
            say(f"{n:,} rows of {given.width}")
            with mp.get_context("spawn").Pool(1) as pool:
                rows.append(pool.apply(measure, (file, given.count, given.threads)))
    note = NOTE.format(threads=given.threads)
    publish([machine(), note, table(COLUMNS.split(", "), rows)], given.out)


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--rows", type=float, nargs="+", help="numbers of rows")
    parser.add_argument("--width", type=int, default=256, help="numbers of a row")
    parser.add_argument("--count", type=int, default=100, help="neighbours of a row")
    parser.add_argument("--threads", type=int, default=2)


def write_features(file: Path, n: int, width: int) -> Path:
    """Write grouped rows, float16 ``(n, width)``."""
    generator = np.random.default_rng(0)
    shared = generator.standard_normal((32, width)).astype(np.float32)
    centres = generator.standard_normal((max(2, n // 100), 32)).astype(np.float32) @ shared / 8
    rows = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=(n, width))
    for start in range(0, n, PART):
        group = generator.integers(0, len(centres), min(PART, n - start))
        rows[start : start + PART] = centres[group] + 0.5 * generator.standard_normal((len(group), width))
    rows.flush()
    return file


def measure(file: Path, count: int, threads: int) -> list[object]:
    """Build the lists and say what they took."""
    import faiss

    from kinbits._util import neighbours

    faiss.omp_set_num_threads(threads)
    rows = np.load(file, mmap_mode="r")

    def read() -> Iterator[np.ndarray]:
        return (rows[start : start + PART] for start in range(0, len(rows), PART))

    started = time.perf_counter()
    found = neighbours.nearest(read, len(rows), count + 1)[0][:, 1:]
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    kind = "exact" if len(rows) <= neighbours.EXACT_ROWS else "inverted lists"
    sample = np.random.default_rng(1).choice(len(rows), SAMPLE, replace=False)
    truth = _nearest(read, rows[sample].astype(np.float32), count + 1)
    shared = [
        len(np.intersect1d(a, b[b != own])) / count for a, b, own in zip(found[sample], truth, sample, strict=True)
    ]
    return [f"{len(rows):,}", rows.shape[1], count, kind, f"{seconds:.0f}", f"{peak:.1f}", f"{np.mean(shared):.3f}"]


def _nearest(read, rows: np.ndarray, count: int) -> np.ndarray:
    """Return the numbers of the rows nearest to some, ``(m, count)``, by computing all distances."""
    parts = (part.astype(np.float32) for part in read())
    distances = np.concatenate([(part**2).sum(1) - 2 * rows @ part.T for part in parts], axis=1)
    return np.argpartition(distances, count, axis=1)[:, :count]


if __name__ == "__main__":
    main()
