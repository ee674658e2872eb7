"""What the result scripts share: fit, measure, append one CSV row per run, skip what is already there."""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kinbits.bench import provenance

RESULTS = Path(__file__).parent.parent / "results"


class Table:
    """A CSV file of runs; a run is known by its configuration and is not repeated.

    Args:
        name: File name below ``results/``.
        fields: Columns that identify a run.
        metrics: Columns that a run measures.
    """

    def __init__(self, name: str, fields: list[str], metrics: list[str]) -> None:
        self.path, self.fields, self.metrics = RESULTS / name, fields, metrics
        self.columns = [*fields, *metrics, "seconds", "config", "split_checksum", "commit", "hardware"]
        self.rows: list[dict[str, str]] = []
        if self.path.exists():
            with self.path.open(newline="") as file:
                self.rows = list(csv.DictReader(file))

    def has(self, **run: Any) -> bool:
        """Tell whether this run is in the table."""
        return any(all(row[k] == str(v) for k, v in run.items()) for row in self.rows)

    def add(
        self,
        run: Mapping[str, Any],
        values: Mapping[str, float],
        seconds: float,
        params: Mapping[str, Any],
        checksum: str,
    ) -> None:
        """Append one run and write the file."""
        text = json.dumps([dict(run), dict(params)], sort_keys=True, default=str)
        made = provenance()
        row = {
            **run,
            **{name: f"{values[name]:.6f}" for name in self.metrics},
            "seconds": f"{seconds:.1f}",
            "config": hashlib.sha256(text.encode()).hexdigest()[:12],
            "split_checksum": checksum[:12],
            "commit": made["commit"],
            "hardware": made["hardware"],
        }
        self.rows.append({k: str(v) for k, v in row.items()})
        RESULTS.mkdir(exist_ok=True)
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(self.rows)
        print(f"{self.path.name}: " + ", ".join(f"{k}={v}" for k, v in {**run, **values}.items()), flush=True)


def summary(table: Table, by: list[str], metric: str) -> list[dict[str, Any]]:
    """Return ``mean`` of a metric over seeds, number of ``runs``, and both in words, in order of first appearance.

    ``text`` is the mean with the sample deviation, as every table of results shows it.
    """
    groups: dict[tuple[str, ...], list[float]] = {}
    for row in table.rows:
        groups.setdefault(tuple(row[k] for k in by), []).append(float(row[metric]))
    return [
        {**dict(zip(by, key, strict=True)), "mean": float(np.mean(v)), "runs": len(v), "text": _spread(v)}
        for key, v in groups.items()
    ]


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


class Clock:
    """Measures the seconds of a block."""

    def __enter__(self) -> Clock:
        self.started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.started
