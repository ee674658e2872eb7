"""Compare the results of methods at several code lengths: mean and deviation over seeds, the best of a group marked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

import numpy as np

from kinbits.bench.cells import LEVEL, NEAR, Cell, mark_best
from kinbits.bench.experiment import Trial
from kinbits.bench.groups import BASELINES, SUPERVISED, Group, Row, competing, group_of, grouped, method_of
from kinbits.bench.query_values import Floats, Key
from kinbits.bench.results import IDENTITY
from kinbits.bench.rows import FLOAT, Record
from kinbits.data import find_protocol, list_protocols
from kinbits.evaluation import IMAGE_TO_IMAGE, UNCOMPRESSED

Setting = tuple[str, str, str]  # protocol, backbone, direction
Cells = tuple[Cell | None, ...]  # one for each code length
QueryTable = Mapping[Key, Floats]

_BEST = "Bold: the best mean of the methods in a group."
_BEST_OF_MORE = "Bold: the best mean of the methods in a group, also of those that are not shown."
_TOGETHER = "Baselines and supervised methods are compared as one group."
_TEST = f"{NEAR}: not significantly below it in a paired randomization test over queries (p ≥ {LEVEL}, Holm)."
_NO_TEST = "No test: values per query are missing."
_STALE = "These rows were made with other settings, versions or data than the present ones."
_PARTLY = "Some methods are not tested: their values per query are missing."


@dataclass(frozen=True)
class Comparison:
    """All methods on one protocol, one backbone and one direction of search.

    Attributes:
        setting: Protocol, backbone and direction.
        metric: What the cells show.
        bits: The columns.
        groups: The rows, by what the methods learn from; inside a group in the order of the results. The uncompressed
            features come first.
        seeds: Largest number of seeds of a cell.
        stale: Labels of methods with stale rows.
        note: What tells it from another comparison of the same setting and metric; at the end of the caption.
        partial: Whether rows are left out, which the marks of the best know all the same.
    """

    setting: Setting
    metric: str
    bits: tuple[str, ...]
    groups: tuple[Group, ...]
    seeds: int
    stale: tuple[str, ...] = ()
    note: str = ""
    partial: bool = False

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Record],
        metric: str,
        *,
        per_query: QueryTable | None = None,
        methods: Mapping[str, str] | None = None,
    ) -> list[Comparison]:
        """Make one comparison for every protocol, backbone and direction.

        Of several rows for one method, code length and seed, the last counts: the method or its settings changed.

        Args:
            rows: The results.
            metric: The column to show.
            per_query: This metric's values of queries, by ``config`` and ``direction`` of the rows. Methods without
                them are not tested.
            methods: Label -> method; without it, the first word of a label is the method.
        """
        settings: dict[Setting, list[Record]] = {}
        latest = {tuple(row[name] for name in IDENTITY): row for row in rows}
        for row in latest.values():
            if row.get(metric):
                settings.setdefault((row["protocol"], row["backbone"], row["direction"]), []).append(row)
        return [cls._one(place, metric, found, per_query or {}, methods or {}) for place, found in settings.items()]

    @classmethod
    def _one(
        cls, setting: Setting, metric: str, rows: Sequence[Record], per_query: QueryTable, methods: Mapping[str, str]
    ) -> Comparison:
        bits = tuple(sorted({row["bits"] for row in rows if row["bits"] != FLOAT}, key=int))
        keys = [_key(row) for row in rows]
        counts = {len(per_query[key]) for key in keys if key in per_query}
        if len({row.get("split_checksum") for row in rows}) > 1 or len(counts) > 1:
            per_query = {}  # the queries are not the same
        cells: dict[str, Cells] = {}
        for label in sorted(dict.fromkeys(row["method"] for row in rows), key=lambda one: one != UNCOMPRESSED):
            own = [row for row in rows if row["method"] == label]
            cells[label] = tuple(_cell(own, one, metric, per_query) for one in bits)
        names = {label: group_of(methods.get(label, method_of(label))) for label in cells}
        for labels in competing(names).values():
            cells |= _marked_best({label: cells[label] for label in labels})
        groups = tuple(
            Group(name, tuple((label, cells[label]) for label in labels)) for name, labels in grouped(names).items()
        )
        seeds = max((len(cell.values) for group in groups for cell in _cells(group)), default=0)
        return cls(setting, metric, bits, groups, seeds)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of all groups."""
        return tuple(chain.from_iterable(group.rows for group in self.groups))

    @property
    def caption(self) -> str:
        """What the numbers are."""
        protocol, backbone, direction = self.setting
        searched = "" if direction == str(IMAGE_TO_IMAGE) else f", {direction}"
        spread = f", mean ± deviation over {self.seeds} seeds" if self.seeds > 1 else ""
        note = f" ({self.note})" if self.note else ""
        return f"{protocol}{_sizes(protocol)}, {backbone}{searched}: tie-aware {self.metric}{spread}{note}"

    @property
    def legend(self) -> str:
        """What the marks mean, and which rows are stale; empty if there are neither."""
        stale = ", ".join(label for label, _ in self.rows if label in self.stale)
        return " ".join(filter(None, [self._marks, f"Stale: {stale}. {_STALE}" if stale else ""]))

    @property
    def _marks(self) -> str:
        cells = [cell for group in self.groups for cell in _cells(group)]
        if not any(cell.best or cell.near for cell in cells):
            return ""
        together = {BASELINES, SUPERVISED} <= {group.name for group in self.groups}
        best = _BEST_OF_MORE if self.partial else _BEST
        best = f"{best} {_TOGETHER}" if together else best
        if all(cell.p_value is None for cell in cells):
            return f"{best} {_NO_TEST}"
        return " ".join([best, _TEST, *([_PARTLY] if any(cell.untested for cell in cells) else [])])

    def with_stale(self, trials: Iterable[Trial]) -> Comparison:
        """Return the same with the methods of stale trials named below the table."""
        protocol, backbone, _ = self.setting
        own = [one for one in trials if one.protocol == protocol and one.backbone in (None, backbone)]
        return replace(self, stale=tuple({one.entry.label for one in own}))

    def only(self, labels: Collection[str]) -> Comparison:
        """Return the rows with these labels; the marks stay those among all rows."""
        groups = (group.only(lambda label: label in labels) for group in self.groups)
        partial = self.partial or any(label not in labels for label, _ in self.rows)
        return replace(self, groups=tuple(group for group in groups if group.rows), partial=partial)

    def top(self, count: int) -> list[str]:
        """Return the labels of the best ``count`` rows of each group, and of the uncompressed features."""
        return [UNCOMPRESSED, *chain.from_iterable(group.top(count) for group in self.groups)]

    def markdown(self) -> str:
        """Return a Markdown table under its caption, without its legend; several groups have heading rows."""
        lines = [f"**{self.caption}**", "", "| method | " + " | ".join(f"{b} bits" for b in self.bits) + " |"]
        lines.append("| --- |" + " ---: |" * len(self.bits))
        for group in self.groups:
            if len(self.groups) > 1:
                lines.append(f"| **{group.heading}** |" + " |" * len(self.bits))
            for label, cells in group.rows:
                lines.append(f"| {label} | " + " | ".join(_marked(cell) for cell in cells) + " |")
        return "\n".join(lines)


def markdown_tables(comparisons: Sequence[Comparison]) -> str:
    """Return tables as Markdown; neighbours with the same legend share it."""
    parts: list[str] = []
    for one, following in zip_longest(comparisons, comparisons[1:]):
        parts.append(one.markdown())
        if one.legend and (following is None or following.legend != one.legend):
            parts.append(one.legend)
    return "\n\n".join(parts)


def _cells(group: Group) -> list[Cell]:
    return [cell for _, cells in group.rows for cell in cells if cell is not None]


def _cell(rows: Sequence[Record], bits: str, metric: str, per_query: QueryTable) -> Cell | None:
    """Gather a method's values; what has no bits, such as the features themselves, is in every column."""
    own = [row for row in rows if row["bits"] in (bits, FLOAT)]
    if not own:
        return None
    known = [per_query.get(_key(row)) for row in own]
    found = [one for one in known if one is not None]
    mean = np.mean(found, axis=0) if len(found) == len(own) else None
    return Cell(tuple(float(row[metric]) for row in own), mean)


def _key(row: Record) -> Key:
    return row.get("config", ""), row["direction"]


def _marked_best(cells: Mapping[str, Cells]) -> dict[str, Cells]:
    """Mark the best of each column."""
    columns = zip(*cells.values(), strict=True)
    return dict(zip(cells, zip(*map(mark_best, columns), strict=True), strict=False))


def _sizes(protocol: str) -> str:
    """Say how large the parts of a published protocol are."""
    if protocol not in list_protocols():
        return ""
    found = find_protocol(protocol)
    return f" ({found.query:,} queries, {found.train:,} for training, {found.database:,} in the database)"


def _marked(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    return f"**{cell}**" if cell.best else f"{cell} {NEAR}" if cell.near else str(cell)
