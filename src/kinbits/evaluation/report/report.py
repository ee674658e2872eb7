"""The result of an evaluation: a table for the terminal, JSON for programs, a plot for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinbits._util import full_path, printable, write_text
from kinbits.evaluation.report.page import Details, page
from kinbits.evaluation.report.plot import plot_curves
from kinbits.evaluation.report.row import Row
from kinbits.metrics import ClassResult, OperatingPoint
from kinbits.model import KEY, with_measured

if TYPE_CHECKING:
    from kinbits.model import HashModel


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
        classes: Metrics of the first row for the queries of each class; empty where they have no labels.
    """

    protocol: str
    facts: Mapping[str, Any]
    metrics: Sequence[str]
    rows: Sequence[Row]
    skipped: Sequence[Mapping[str, str]] = ()
    details: Details | None = None
    notes: Sequence[str] = ()
    classes: Sequence[ClassResult] = ()

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def __str__(self) -> str:
        from rich.console import Console

        text = StringIO()
        Console(file=text, width=80).print(self.tables())
        return text.getvalue().rstrip("\n")

    def table(self) -> Any:
        """Return a `rich` table, at most 80 columns wide for four metrics."""
        from rich.table import Table
        from rich.text import Text

        facts = self.facts
        sizes = f"{facts['queries']:,} queries, {facts['database']:,} in the database, {facts['bits']} bits"
        title = Text(printable(f"{self.name}: {sizes}"))
        table = Table(title=title, title_justify="left", caption=self.caption, caption_justify="left")
        table.add_column("", overflow="fold")
        for name in self.metrics:
            table.add_column(name.replace("@", "\n@"), justify="right", no_wrap=True)
        for number, row in enumerate(self.rows):
            cells = (f"{row.values[name]:.4f}" if name in row.values else "-" for name in self.metrics)
            own = number == 0
            table.add_row(Text(printable(row.name)), *cells, style="bold" if own else None, end_section=own)
        return table

    def tables(self) -> Any:
        """Return what a terminal shows: `table`, and that of the operating points where some were asked for."""
        from rich.console import Group

        if not self.rows[0].operating_points:
            return self.table()
        return Group(self.table(), "", self.operating_points())

    def operating_points(self) -> Any:
        """Return a `rich` table of the radius that meets each target, at most 80 columns wide."""
        from rich.table import Table
        from rich.text import Text

        first = self.rows[0].operating_points[0]
        table = Table(title="Operating points", title_justify="left", caption=_halves(first), caption_justify="left")
        table.add_column("", overflow="fold")
        for name in ("radius", "precision", "recall", "pairs"):
            table.add_column(name, justify="right", no_wrap=True)
        for place, target in enumerate(point.target for point in self.rows[0].operating_points):
            table.add_row(Text(target, "bold"))
            for row in self.rows:
                if row.operating_points:
                    table.add_row(Text(printable(f"  {row.name}")), *_cells(row.operating_points[place]))
            table.add_section()
        return table

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return {
            "protocol": self.protocol,
            **self.facts,
            "rows": [asdict(row) for row in self.rows],
            "classes": [asdict(one) for one in self.classes],
            "skipped": list(self.skipped),
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Return everything as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def record(self, model: HashModel | str | Path) -> None:
        """Keep the numbers and operating points of the first row with the model that was evaluated.

        Args:
            model: The model, or its folder, whose ``metrics.json`` is written.

        Raises:
            ArtefactError: The file is damaged.
            PlatformError: It cannot be written.
        """
        from kinbits.model import append_metrics

        row = self.rows[0]
        points = {point.target: asdict(point) for point in row.operating_points}
        measured = {**row.values, **({KEY: points} if points else {})}
        if isinstance(model, (str, Path)):
            append_metrics(model, self.name, measured)
        else:
            model.metrics.update(with_measured(model.metrics, self.name, measured))

    def html(self, path: str | Path) -> Path:
        """Write a page with everything on it, which needs no other file and no network.

        Raises:
            PlatformError: The file cannot be written.
        """
        path = full_path(path)
        write_text(path, page(self))
        return path

    def plot(self, path: str | Path) -> Path:
        """Write the precision-recall curves as a picture, in the format that the ending of the path names.

        Raises:
            UsageError: The ending names no format.
            PlatformError: The file cannot be written.
        """
        title = f"{self.name}, {self.facts['bits']} bits, {self.facts['backbone']}"
        return plot_curves(self.rows, title, path)

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


def _halves(point: OperatingPoint) -> str:
    return (
        f"radius chosen on {point.chosen_on:,} queries, all else measured on the other {point.queries:,} (halves by "
        f"seed {point.seed}), over all pairs within the radius; 95 % intervals below"
    )


def _cells(point: OperatingPoint) -> list[Any]:
    if point.radius is None:
        return ["none", f"highest {point.chosen_value:.4f}"]
    measured = ((point.precision, point.precision_interval), (point.recall, point.recall_interval))
    return [str(point.radius), *(_measured(*one) for one in measured), f"{point.pairs:,}"]


def _measured(value: float | None, interval: tuple[float, float] | None) -> Any:
    from rich.text import Text

    if value is None or interval is None:
        return "-"
    return Text.assemble(f"{value:.4f}\n", (f"{interval[0]:.3f} to {interval[1]:.3f}", "dim"))
