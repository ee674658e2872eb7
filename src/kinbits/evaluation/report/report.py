"""The result of an evaluation: a table for the terminal, JSON for programs, a page and a plot for people."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kinbits._util import check_parent, full_path, printed, write_text
from kinbits.errors import UsageError
from kinbits.evaluation.report.numbers import Numbers
from kinbits.evaluation.report.page import page, summary_table
from kinbits.evaluation.report.plot import plot_curves
from kinbits.evaluation.report.tables import metrics_table, operating_points_table
from kinbits.evaluation.row import Row
from kinbits.model import OPERATING_POINTS, HashModel, append_metrics, with_measured


@dataclass(frozen=True, repr=False)
class Report(Numbers):
    """Numbers of a model and of what it is compared with. Prints as a table, and is one in a notebook.

    ``report["itq"]`` is the row of that name; the first row is the model. `Numbers` lists the fields.
    """

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value:.4f}" for name, value in self.rows[0].values.items())
        return f"Report({self.name}: {self.rows[0].name}, {values}; {len(self.rows)} rows)"

    def __str__(self) -> str:
        return printed(self.table())

    def _repr_html_(self) -> str:
        return summary_table(self)

    def table(self) -> Any:
        """Return what a terminal shows, for `rich`: the metrics, and the operating points where some were asked for."""
        from rich.console import Group

        if not self.rows[0].operating_points:
            return metrics_table(self)
        return Group(metrics_table(self), "", operating_points_table(self))

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
        """Store the numbers and operating points of the first row with the model that was evaluated.

        Args:
            model: The model, or its folder, whose ``metrics.json`` is written.

        Raises:
            UsageError: If the model was trained on the queries: a model card or a radius must not rest on that.
            ArtefactError: If the file is damaged.
            PlatformError: If it cannot be written.
        """
        if self.trained_on_queries:
            raise UsageError(
                f"the model was trained on queries of {self.name}, so these numbers are not stored with it; fit on the "
                f"training part of the split, and evaluate that model"
            )
        row = self.rows[0]
        points = {point.target: asdict(point) for point in row.operating_points}
        measured = {**row.values, **({OPERATING_POINTS: points} if points else {})}
        if isinstance(model, (str, Path)):
            append_metrics(model, self.name, measured)
        else:
            model.metrics.update(with_measured(model.metrics, self.name, measured))

    def save(self, folder: str | Path) -> list[Path]:
        """Write the report in all forms; each file appears complete or not at all.

        Args:
            folder: Created if it does not exist.

        Returns:
            The paths of ``report.html``, ``report.json`` and ``pr-curves.png``.

        Raises:
            PlatformError: If a file cannot be written, or jinja2 or matplotlib is missing.
        """
        page, numbers, curves = (Path(folder) / name for name in ("report.html", "report.json", "pr-curves.png"))
        check_parent(full_path(numbers), "folder")
        write_text(full_path(numbers), self.to_json() + "\n")
        self.html(page)
        self.plot(curves)
        return [page, numbers, curves]

    def html(self, path: str | Path) -> Path:
        """Write a page with everything on it, which needs no other file and no network.

        Raises:
            PlatformError: If the file cannot be written, or jinja2 or matplotlib is missing.
        """
        path = full_path(path)
        write_text(path, page(self))
        return path

    def plot(self, path: str | Path) -> Path:
        """Write the precision-recall curves as a picture, in the format that the ending of the path names.

        Raises:
            UsageError: If the ending names no format.
            PlatformError: If the file cannot be written, or matplotlib is missing.
        """
        title = f"{self.name}, {self.facts['bits']} bits, {self.facts['backbone']}"
        return plot_curves(self.rows, title, path)
