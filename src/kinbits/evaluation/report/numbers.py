"""The numbers of a report, whatever they are shown as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kinbits.evaluation.report.details import Details
from kinbits.evaluation.row import Row
from kinbits.metrics import ClassResult


@dataclass(frozen=True)
class Numbers:
    """Numbers of a model and of what it is compared with. The first row is the model.

    Attributes:
        protocol: Name of the protocol.
        facts: Sizes, checksum, relevance rule (and difficulty), bits, method, backbone, fingerprint.
        metrics: Metric names in the order of the columns.
        rows: The model first.
        skipped: Images that could not be read, with reasons.
        details: Examples, confusion and code statistics of the model; None where they were not asked for.
        notes: What is missing, or to be known about the numbers, a sentence each.
        classes: Metrics of the first row for the queries of each class; empty where they have no labels.
        trained_on_queries: Whether the model was trained on queries, so that its numbers are too good.
    """

    protocol: str
    facts: Mapping[str, Any]
    metrics: Sequence[str]
    rows: Sequence[Row]
    skipped: Sequence[Mapping[str, str]] = ()
    details: Details | None = None
    notes: Sequence[str] = ()
    classes: Sequence[ClassResult] = ()
    trained_on_queries: bool = False

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
        lines += [
            f"{share:.0%} of the queries have no item within the radius, and count as 0 in {name}"
            for name, share in balls.items()
        ]
        return "; ".join([*lines, *self.notes])
