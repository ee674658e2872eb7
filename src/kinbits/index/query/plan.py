"""The plan of a search: how it searches each segment, and why."""

from __future__ import annotations

from dataclasses import dataclass

from kinbits.hamming import Explanation
from kinbits.index.store.state import State


@dataclass(frozen=True)
class SegmentPlan:
    """How one segment is searched.

    Attributes:
        number: Number of the segment.
        rows: Number of codes, deleted ones included.
        small: Whether it is too small for search tables.
        explanation: Choice of its search tables; None without tables, when the segment is scanned.
    """

    number: int
    rows: int
    small: bool
    explanation: Explanation | None

    @property
    def strategy(self) -> str:
        """``"scan"``, ``"grouped"`` or ``"multi-index"``."""
        return "scan" if self.explanation is None else self.explanation.strategy

    def __str__(self) -> str:
        reason = (
            "it is too small for search tables" if self.small else "it has no search tables; optimize() builds them"
        )
        how = f"scan: {reason}" if self.explanation is None else str(self.explanation).replace("\n", "\n  ")
        return f"segment {self.number}, {self.rows:,} codes: {how}"


@dataclass(frozen=True)
class Plan:
    """How a search runs; prints as text.

    Attributes:
        segments: One plan per segment.
    """

    segments: tuple[SegmentPlan, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.segments)) or "the index is empty"


def plan(state: State, k: int | None, radius: int | None, queries: int, table_rows: int) -> Plan:
    """Plan a search in every segment."""
    plans = []
    for segment in state.segments:
        segment.require_whole(state.bits)
        index = segment.multi_index()
        known = None if index is None else index.explain(k=k, radius=radius, queries=queries)
        plans.append(SegmentPlan(segment.number, segment.rows, segment.rows < table_rows, known))
    return Plan(tuple(plans))
