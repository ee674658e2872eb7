"""Measure the index on disk: adding, opening, deleting, filters and memory, against the plain tools below it.

    python benchmarks/bench_index.py [--short | --full] [--out FILE] [--folder FOLDER]

Each ratio comes from runs in turns: adding against writing and syncing the same bytes, adding metadata against
SQLite's own insertion of the same rows, filters against fetching the row numbers from SQLite. ``--full`` repeats it
with 10^8 codes, and searches 10^9 (needs 40 GB on the disk of FOLDER, and takes about half an hour).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from _bench import arguments, machine, median, publish, random_codes, say, speedup, table, take_turns

from kinbits.index import Index

_BATCH = 10**6
_PART = 10**7  # rows that are added at a time to a large index
_QUERY = random_codes(1, 8, seed=1)[0]


def main() -> None:
    given = arguments(__doc__, extra=lambda parser: parser.add_argument("--folder", help="where indexes are made"))
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        scratch, tables = Path(name), []
        for rows in (10**6, 10**8) if given.full else (10**6,):
            tables += [
                f"{rows:,} codes of 64 bits, ids int64",
                _changes(scratch, rows),
            ]
        tables += [_FILTERS, _filters(scratch), _MEMORY, _memory(scratch, 10**8 if given.full else 10**7)]
        if given.full:
            tables += ["10^9 codes of 64 bits in segments of 10^7", _billion(scratch)]
        publish([machine(), *tables], given.out)


_FILTERS = """A million items with the columns year (int) and title (str), `where="year<..."`. "fetch" is SQLite's
answer as a list of row numbers; "first" and "again" are a whole search of the ten nearest."""
_MEMORY = """What a process holds after it has opened an index with deletions and searched it, beyond what it held
before."""


def _filled(path: Path, rows: int) -> Index:
    say(f"making an index of {rows:,} codes")
    index = Index.create(path, bits=64)
    for start in range(0, rows, _PART):
        index.add(random_codes(min(_PART, rows - start), 8, seed=start))
    return index.compact() if rows < 10**9 else index


def _changes(scratch: Path, rows: int) -> str:
    """Time every change of an index that is opened anew, and what bounds it."""
    path = scratch / f"changes-{rows}"
    _filled(path, rows)
    codes, metadata = random_codes(_BATCH, 8), _metadata(_BATCH)
    tuples = list(zip(metadata["year"].tolist(), metadata["title"], strict=True))
    state = {"delete": 0}

    def delete() -> None:
        state["delete"] += 1000
        Index.open(path).delete(np.arange(state["delete"] - 1000, state["delete"]) * 7)

    runs: dict[str, Callable[[], Any]] = {
        "open": lambda: Index.open(path),
        "read the manifest": lambda: (path / "manifest.json").read_bytes(),
        "add 10^6": lambda: Index.open(path).add(codes),
        "write and sync 16 MB": lambda: _write(scratch / "plain", codes),
        "add 10^6 with two columns": lambda: Index.open(path).add(codes, metadata=metadata),
        "SQLite alone, two columns": lambda: _insert(scratch / "plain.db", tuples),
        "delete 10^3": delete,
    }
    seconds = take_turns(runs, rounds=5 if rows < 10**8 else 3)
    shutil.rmtree(path)
    rivals = {"open": "read the manifest", "add 10^6": "write and sync 16 MB"}
    rivals["add 10^6 with two columns"] = "SQLite alone, two columns"
    lines = []
    for name in ("open", "add 10^6", "add 10^6 with two columns", "delete 10^3"):
        rival = rivals.get(name)
        bound = [rival, _ms(median(seconds, rival)), speedup(seconds, rival, name)] if rival else ["", "", ""]
        lines.append([name, _ms(median(seconds, name)), *bound])
    return table(["change, on a newly opened index", "ms", "against", "its ms", "times as long"], lines)


def _filters(scratch: Path) -> str:
    Index.create(scratch / "filters", bits=64).add(random_codes(_BATCH, 8), metadata=_metadata(_BATCH))
    file = sqlite3.connect(next((scratch / "filters").glob("*.rows")))
    path, lines, fresh = scratch / "filters", [], count(1)
    opened = Index.open(path)
    opened.search(_QUERY)
    for percent in (1, 10, 90):
        where = f"year<{percent}"
        runs: dict[str, Callable[[], Any]] = {
            # a condition that nobody remembers
            "first": lambda where=where: opened.search(_QUERY, where=[where, f"year>-{next(fresh)}"]),
            "again": lambda where=where: opened.search(_QUERY, where=where),
            "no filter": lambda: opened.search(_QUERY),
            "fetch": lambda percent=percent: file.execute(
                "SELECT row FROM items WHERE c0 < ? AND c0 > ?", [percent, -next(fresh)]
            ).fetchall(),
        }
        seconds = take_turns(runs, rounds=5)
        times = [_ms(median(seconds, name)) for name in ("fetch", "first", "again", "no filter")]
        lines.append([f"{percent} %", *times, speedup(seconds, "first", "fetch"), speedup(seconds, "again", "first")])
    shutil.rmtree(path)
    header = ["rows met", "fetch, ms", "first, ms", "again, ms", "no filter, ms", "first x fetch", "again x first"]
    return table(header, lines)


_HOLDS = """
import sys
import numpy as np
from kinbits.index import Index

def held():
    fields = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("Rss"))
    return [int(fields[name].split()[0]) for name in ("RssFile", "RssAnon")]

Index.create(bits=64).add(np.zeros((1, 8), np.uint8)).search(np.zeros(8, np.uint8))
before = held()
index = Index.open(sys.argv[1])
index.search(np.zeros(8, np.uint8), k=10)
print(*(1024 * (after - old) for after, old in zip(held(), before)))
"""


def _memory(scratch: Path, rows: int) -> str:
    path = scratch / "memory"
    _filled(path, rows).delete(np.arange(0, rows, 1000))
    done = subprocess.run([sys.executable, "-c", _HOLDS, path], capture_output=True, text=True, check=True)
    mapped, own = map(int, done.stdout.split())
    shutil.rmtree(path)
    line = [f"{rows:,}", 16 * rows / 1e6, mapped / 1e6, own / 1e6, f"{(mapped + own) / (16 * rows) - 1:+.2%}"]
    return table(["codes", "codes + ids, MB", "mapped, MB", "own, MB", "more than codes + ids"], [line])


def _billion(scratch: Path) -> str:
    path = scratch / "billion"
    made = _seconds(lambda: _filled(path, 10**9))
    opened: list[Index] = []
    lines = [["make, in parts of 10^7", made], ["open", _seconds(lambda: opened.append(Index.open(path)))]]
    lines.append(["first search, which checks all files", _seconds(lambda: opened[0].search(_QUERY, k=100))])
    again = [_seconds(lambda: opened[0].search(_QUERY, k=100)) for _ in range(3)]
    lines.append(["search again, k=100", float(np.median(again))])
    batch = random_codes(64, 8, seed=2)
    lines.append(["search 64 queries together, k=100", _seconds(lambda: opened[0].search(batch, k=100))])
    shutil.rmtree(path)
    return table(["10^9 codes", "seconds"], lines)


def _metadata(rows: int) -> dict[str, Any]:
    years = np.random.default_rng(3).integers(0, 100, rows)
    return {"year": years, "title": [f"photo {row}.jpg" for row in range(rows)]}


def _write(path: Path, codes: np.ndarray) -> None:
    for array in (codes, np.arange(len(codes))):
        with open(path, "wb") as file:
            file.write(array.data)
            os.fsync(file.fileno())


def _insert(path: Path, rows: list[tuple[Any, ...]]) -> None:
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=OFF")
    connection.execute("CREATE TABLE items (row INTEGER PRIMARY KEY, c0, c1)")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO items (c0, c1) VALUES (?, ?)", rows)
    connection.execute("COMMIT")
    connection.close()


def _seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _ms(seconds: float) -> float:
    return 1000 * seconds


if __name__ == "__main__":
    main()
