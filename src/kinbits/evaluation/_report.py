"""The result of an evaluation: a table for the terminal, JSON for programs, a plot for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from kinbits._errors import PlatformError
from kinbits.evaluation._page import Details, page
from kinbits.evaluation._plot import plot_curves
from kinbits.evaluation._row import Row


@dataclass(frozen=True)
class Report:
    """Numbers of a model and what stands beside it. The first row is the model.

    Attributes:
        protocol: Name of the protocol.
        facts: Sizes, checksum, relevance rule (and difficulty), bits, method, backbone, fingerprint.
        metrics: Metric names in the order of the columns.
        rows: The model first.
        skipped: Images that could not be read, with reasons.
        details: Examples, confusion and code statistics of the model; None where they were not asked for.
        notes: What is missing beside the model, and why, a sentence each.
    """

    protocol: str
    facts: Mapping[str, Any]
    metrics: Sequence[str]
    rows: Sequence[Row]
    skipped: Sequence[Mapping[str, str]] = ()
    details: Details | None = None
    notes: Sequence[str] = ()

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def __str__(self) -> str:
        from rich.console import Console

        text = StringIO()
        Console(file=text, width=80).print(self.table())
        return text.getvalue().rstrip("\n")

    def table(self) -> Any:
        """Return a `rich` table, at most 80 columns wide for four metrics."""
        from rich.table import Table

        facts = self.facts
        sizes = f"{facts['queries']:,} queries, {facts['database']:,} in the database, {facts['bits']} bits"
        title = f"{self.name}: {sizes}"
        table = Table(title=title, title_justify="left", caption=self.caption, caption_justify="left")
        table.add_column("", overflow="fold")
        for name in self.metrics:
            table.add_column(name.replace("@", "\n@"), justify="right", no_wrap=True)
        for number, row in enumerate(self.rows):
            cells = (f"{row.values[name]:.4f}" if name in row.values else "-" for name in self.metrics)
            table.add_row(row.name, *cells, style="bold" if number == 0 else None, end_section=number == 0)
        return table

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return {
            "protocol": self.protocol,
            **self.facts,
            "rows": [asdict(row) for row in self.rows],
            "skipped": list(self.skipped),
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Return everything as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def html(self, path: str | Path) -> Path:
        """Write a page with everything on it, which needs no other file and no network.

        Raises:
            PlatformError: The file cannot be written.
        """
        path = Path(path)
        try:
            path.write_text(page(self), encoding="utf-8")
        except OSError as error:
            raise PlatformError(f"cannot write {path}: {error.strerror or error}") from None
        return path

    def plot(self, path: str | Path) -> Path:
        """Write the precision-recall curves as a PNG."""
        title = f"{self.name}, {self.facts['bits']} bits, {self.facts['backbone']}"
        return plot_curves(self.rows, title, Path(path))

    @property
    def name(self) -> str:
        """Name of the protocol, with the difficulty where its answers are graded."""
        difficulty = self.facts.get("difficulty")
        return f"{self.protocol} ({difficulty})" if difficulty else self.protocol

    @property
    def caption(self) -> str:
        """What is to be known about the numbers, in a line."""
        lines = ["ties count with their expected value"]
        excluded = self.rows[0].excluded
        if excluded:
            lines.append(f"{excluded} queries have no relevant item and are left out")
        if self.skipped:
            lines.append(f"{len(self.skipped)} unreadable images skipped")
        balls = {name: share for name, share in self.rows[0].empty_balls.items() if share}
        lines += [f"{share:.0%} of the queries have an empty ball ({name})" for name, share in balls.items()]
        return "; ".join([*lines, *self.notes])
