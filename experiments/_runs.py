"""What the result scripts share: fit, measure, write one CSV row per run, skip what is already there and not stale."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kinbits.bench import config_of, provenance, write_rows
from kinbits.data import find_protocol
from kinbits.fitting import FitSettings

RESULTS = Path(__file__).parent.parent / "results"

Run = Mapping[str, Any]  # column -> value, or its text in the file


class Table:
    """A CSV file of runs. A run is not repeated while its row holds the present hash; a stale row is replaced.

    Args:
        name: File name below ``results/``.
        fields: Columns that identify a run.
        metrics: Columns that a run measures.
        config: Returns the hash of what makes the numbers of a run. None is for records of a search, which are kept
            when defaults change: runs are then known by their columns alone.
    """

    def __init__(
        self, name: str, fields: list[str], metrics: list[str], config: Callable[[Run], str] | None = None
    ) -> None:
        self.path, self.fields, self.metrics = RESULTS / name, fields, metrics
        self.config = config or (lambda run: "")
        self.kept = config is None
        self.columns = [*fields, *metrics, "seconds", "config", "split_checksum", "commit", "hardware"]
        self.rows = read_rows(self.path)

    def has(self, **run: Any) -> bool:
        """Tell whether this run is in the table, and not stale."""
        found = [row for row in self.rows if all(row[k] == str(v) for k, v in run.items())]
        return any(self.kept or row["config"] == self.config(row) for row in found)

    def stale(self) -> list[dict[str, str]]:
        """Return the rows that were made with other settings, versions or data than the present ones."""
        return [] if self.kept else [row for row in self.rows if row["config"] != self.config(row)]

    def add(self, run: Run, values: Mapping[str, float], seconds: float, checksum: str) -> None:
        """Put one run where its old row is, or else at the end, and write the file."""
        made = provenance()
        row = {
            **run,
            **{name: f"{values[name]:.6f}" for name in self.metrics},
            "seconds": f"{seconds:.1f}",
            "config": self.config(run),
            "split_checksum": checksum[:12],
            "commit": made["commit"],
            "hardware": made["hardware"],
        }
        texts = {k: str(v) for k, v in row.items()}
        places = [n for n, old in enumerate(self.rows) if all(old[k] == texts[k] for k in self.fields)]
        self.rows = [old for n, old in enumerate(self.rows) if n not in places]
        self.rows.insert(places[0] if places else len(self.rows), texts)
        RESULTS.mkdir(exist_ok=True)
        write_rows(self.path, self.columns, self.rows)
        print(f"{self.path.name}: " + ", ".join(f"{k}={v}" for k, v in {**run, **values}.items()), flush=True)


def run_config(settings: FitSettings, protocol: str) -> str:
    """Return the hash of one fit on a protocol: all that makes its numbers, and the split."""
    return config_of(settings, protocol=protocol, split=find_protocol(protocol).checksum)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file; no rows if there is none."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def summary(table: Table, by: list[str], metric: str) -> list[dict[str, Any]]:
    """Return ``mean`` of a metric over seeds, number of ``runs``, and both in words, in order of first appearance.

    ``text`` is the mean with the sample deviation, as every table of results shows it.
    """
    groups: dict[tuple[str, ...], list[float]] = {}
    for row in table.rows:
        groups.setdefault(tuple(row[k] for k in by), []).append(float(row[metric] or "nan"))
    return [
        {**dict(zip(by, key, strict=True)), "mean": float(np.mean(v)), "runs": len(v), "text": spread(v)}
        for key, v in groups.items()
    ]


def spread(values: list[float]) -> str:
    """Return the mean of some runs, with their sample deviation, as every table of results shows it."""
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


class Clock:
    """Measures the seconds of a block."""

    def __enter__(self) -> Clock:
        self.started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.started
