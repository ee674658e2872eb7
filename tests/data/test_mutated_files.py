"""No damaged file crashes, hangs or fills the memory: each is read, or refused with a reason.

Worker processes decode them with a limit of memory and of time per file. KINBITS_EXHAUSTIVE=1 draws 10,000 files.
"""

import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import mutated
import pytest

DRAWS = int(os.environ.get("KINBITS_DRAWS", 10_000 if os.environ.get("KINBITS_EXHAUSTIVE") else 432))
WORKERS = 2
SECONDS = 30  # for one file, on a busy machine; most take milliseconds
ADDRESSES = 4 * 2**30  # bytes, of which libraries take one before the first file
RESIDENT = 2 * 2**30


def work(first):
    """Decode the files of every WORKERS-th seed in processes; returns a line for each file, and how processes died."""
    ended, died = [], []
    while first < DRAWS:
        command = [sys.executable, mutated.__file__, *map(str, (first, DRAWS, WORKERS, SECONDS, ADDRESSES))]
        done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
        lines = [line.split(" ", 2) for line in done.stdout.splitlines()]
        ended += [(int(seed), *rest.split()) for what, seed, rest in lines if what == "end"]
        if done.returncode == 0:
            break
        _, seed, name = lines[-1] if lines else ("start", first, "before the first file")
        died.append(f"seed {seed} ({name}): exit code {done.returncode}: {done.stderr[-800:]}")
        first = int(seed) + WORKERS
    return ended, died


@pytest.mark.timeout(7200 if DRAWS > 1000 else 300)
def test_no_damaged_file_crashes_hangs_or_fills_the_memory(record_property):
    with ThreadPoolExecutor(WORKERS) as pool:
        parts = list(pool.map(work, range(WORKERS)))
    ended = [one for some, _ in parts for one in some]
    assert [line for _, died in parts for line in died] == []
    assert len(ended) == DRAWS
    found = Counter(outcome for _, outcome, _, _ in ended)
    slowest, largest = max(float(seconds) for *_, seconds, _ in ended), max(int(peak) for *_, peak in ended)
    record_property(
        "outcomes", f"{dict(found)}, slowest {slowest:.1f} s of processor time, largest {largest / 2**20:.0f} MiB"
    )
    print(
        f"\n{dict(found)}, slowest {slowest:.1f} s of processor time, largest {largest / 2**20:.0f} MiB"
    )  # with pytest -s
    assert min(found["read"], found["refused"]) > DRAWS / 20
    assert largest < RESIDENT


def test_the_whole_files_are_of_many_formats_and_most_are_read(tmp_path):
    whole = mutated.whole_files()
    read = {name for name, data in whole.items() if mutated.outcome(data, tmp_path / "file") == "read"}
    kinds = {name.split()[0] for name in read}
    assert len(whole) > 100
    assert kinds >= {
        "AVIF",
        "BMP",
        "GIF",
        "HEIC",
        "JPEG",
        "JPEG2000",
        "PCX",
        "PNG",
        "PPM",
        "TGA",
        "TIFF",
        "WEBP",
        "DNG",
    }


def test_a_seed_draws_the_same_file_again():
    assert mutated.mutated(5) == mutated.mutated(5)
    assert mutated.mutated(5) != mutated.mutated(5 + len(mutated.whole_files()))
