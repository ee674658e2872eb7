"""The result of a measurement of robustness: a table for the terminal, JSON for programs, a page for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kinbits._util import check_parent, full_path, printed, write_text
from kinbits.robustness.comparison import RobustnessComparison, compare_reports
from kinbits.robustness.page import page, summary_table
from kinbits.robustness.row import Group, RobustnessRow
from kinbits.robustness.saved import NUMBERS, QUERIES, queries_table, read_report
from kinbits.robustness.table import rows_table


@dataclass(frozen=True, repr=False)
class RobustnessReport:
    """What changes of images do to a search. Prints as a table, and is one in a notebook.

    ``report["jpeg 30"]`` is the row of that name; the first row is the clean queries.

    Attributes:
        protocol: Name of the protocol.
        facts: Sizes, checksum, relevance rule, bits, method, backbone, fingerprint, epsilon, seed, attacks.
        rows: The clean queries, edits, attacks, attacks at other budgets, bounds.
        notes: What is missing, or to be known about the numbers, a sentence each.
        queries: Names of the queries, in the order of the precisions of each row; empty where they are not kept.
    """

    protocol: str
    facts: Mapping[str, Any]
    rows: Sequence[RobustnessRow]
    notes: Sequence[str] = ()
    queries: Sequence[str] = ()

    def __getitem__(self, name: str) -> RobustnessRow:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def __repr__(self) -> str:
        lowest = [
            f"{min(rows, key=lambda row: row.map).name} {min(row.map for row in rows):.4f}"
            for rows in (self.group("edit"), self.group("attack"))
            if rows
        ]
        values = ", ".join([f"clean {self.rows[0].map:.4f}", *lowest])
        return f"RobustnessReport({self.protocol}: map@all {values}; {len(self.rows)} rows)"

    def __str__(self) -> str:
        return printed(self.table())

    def _repr_html_(self) -> str:
        return summary_table(self)

    def group(self, *names: Group) -> list[RobustnessRow]:
        """Return the rows of some groups."""
        return [row for row in self.rows if row.group in names]

    def curves(self) -> dict[str, list[tuple[float, float]]]:
        """Return budget and mAP, from the clean queries on, of each attack that was measured at several budgets."""
        names = dict.fromkeys(row.name for row in self.group("curve"))
        found = {name: [row for row in self.group("attack", "curve") if row.name == name] for name in names}
        start = (0.0, self.rows[0].map)
        return {
            name: [start, *sorted((row.epsilon, row.map) for row in rows if row.epsilon is not None)]
            for name, rows in found.items()
        }

    def table(self) -> Any:
        """Return what a terminal shows, for `rich`."""
        return rows_table(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the pictures as JSON types."""
        return {
            "protocol": self.protocol,
            **self.facts,
            "rows": [row.to_dict() for row in self.rows],
            "curves": self.curves(),
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Return everything but the pictures as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def save(self, folder: str | Path) -> list[Path]:
        """Write the report; each file appears complete or not at all.

        Args:
            folder: Created if it does not exist.

        Returns:
            The paths of ``report.html``, ``report.json`` and, where the queries are known, ``queries.csv``: the average
            precision of each query under each change.

        Raises:
            PlatformError: If a file cannot be written, or jinja2 or matplotlib is missing.
        """
        html, numbers, queries = (full_path(Path(folder) / name) for name in ("report.html", NUMBERS, QUERIES))
        check_parent(numbers, "folder")
        if self.queries:
            write_text(queries, queries_table(self.rows, self.queries))
        write_text(numbers, self.to_json() + "\n")
        write_text(html, page(self))
        return [html, numbers, *([queries] if self.queries else [])]

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Read a saved report, without its pictures.

        Args:
            folder: Folder that `save` wrote.

        Raises:
            ArtefactError: If the folder holds no report, or it is damaged.
        """
        return cls(*read_report(folder))

    def compare(self, other: RobustnessReport) -> RobustnessComparison:
        """Put the rows of this report and of another side by side, such as those of a model and its defended twin.

        Differences are tested in pairs where both keep the same queries of the same data.

        Args:
            other: The other report.
        """
        return compare_reports(self, other)
