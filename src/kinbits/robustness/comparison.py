"""Two robustness reports side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kinbits._util import printable, printed
from kinbits.metrics import compare_many
from kinbits.robustness.row import RobustnessRow
from kinbits.robustness.table import SECTIONS, name_of

if TYPE_CHECKING:
    from rich.table import Table

    from kinbits.robustness.report import RobustnessReport

SAME = {  # facts that make numbers comparable, and what they are called
    "checksum": "split",
    "queries": "number of queries",
    "database": "database",
    "seed": "seed",
    "target": "target label",
}
FACTS = (*SAME, "method", "bits", "backbone", "epsilon", "defence", "fingerprint")


@dataclass(frozen=True)
class ComparedRow:
    """A row that two reports have.

    Attributes:
        group: Its group, see `RobustnessRow`.
        name: Its name.
        first: mAP in the first report.
        second: mAP in the second.
        difference: The second minus the first.
        first_target: t-mAP in the first; None without labels.
        second_target: t-mAP in the second.
        p_value: Of a paired randomization test over the queries that both keep (`kinbits.metrics.compare_many`),
            corrected for the number of rows (Holm); None where fewer than two are kept by both.
        paired: Number of these queries.
    """

    group: str
    name: str
    first: float
    second: float
    difference: float
    first_target: float | None = None
    second_target: float | None = None
    p_value: float | None = None
    paired: int = 0


@dataclass(frozen=True, repr=False)
class RobustnessComparison:
    """Two robustness reports side by side. Prints as a table.

    Attributes:
        first: What the first report is of.
        second: What the second is of.
        rows: The rows that both have, in the order of the first.
        only_first: Names of the rows that the first has alone.
        only_second: Names of the rows that the second has alone.
        notes: What is to be known about the differences, a sentence each.
    """

    first: Mapping[str, Any]
    second: Mapping[str, Any]
    rows: Sequence[ComparedRow]
    only_first: Sequence[str]
    only_second: Sequence[str]
    notes: Sequence[str]

    def __repr__(self) -> str:
        return f"RobustnessComparison({_title(self.first)} and {_title(self.second)}; {len(self.rows)} rows in both)"

    def __str__(self) -> str:
        return printed(self.table())

    def __getitem__(self, name: str) -> ComparedRow:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return asdict(self)

    def table(self) -> Table:
        """Return what a terminal shows, for `rich`, at most 80 columns wide."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        shown = {head: cells for head, cells in self._columns().items() if any(cells)}
        title = f"A: {_title(self.first)}\nB: {_title(self.second)}"
        table = Table(
            box=SIMPLE_HEAD,
            title=Text(_printable_lines(title)),
            title_justify="left",
            caption=Text(self._caption()),
            caption_justify="left",
            pad_edge=False,
            padding=(0, 1),
            collapse_padding=True,
        )
        table.add_column("", overflow="fold")
        for head in shown:
            table.add_column(head, justify="right", no_wrap=True)
        headings, before = dict(SECTIONS), "clean"
        for row, cells in zip(self.rows, zip(*shown.values(), strict=True), strict=True):
            if row.group != before:
                table.add_section()
                table.add_row(Text(headings[row.group], "italic"))
                before = row.group
            table.add_row(Text(printable(row.name if row.group == "clean" else f"  {row.name}")), *cells)
        return table

    def _columns(self) -> dict[str, list[str]]:
        return {
            "A": [_number(row.first) for row in self.rows],
            "B": [_number(row.second) for row in self.rows],
            "B - A": [f"{round(row.difference, 3) + 0.0:+.3f}" for row in self.rows],
            "p": ["" if row.p_value is None else f"{row.p_value:.2g}" for row in self.rows],
            "t-mAP A": [_number(row.first_target) for row in self.rows],
            "t-mAP B": [_number(row.second_target) for row in self.rows],
        }

    def _caption(self) -> str:
        alone = {"only A has": self.only_first, "only B has": self.only_second}
        told = ["A and B: mAP of the two reports", *self.notes]
        told += [f"{what} {', '.join(map(repr, names))}" for what, names in alone.items() if names]
        return printable("; ".join(told))


def compare_reports(first: RobustnessReport, second: RobustnessReport) -> RobustnessComparison:
    """Put the rows that two reports have side by side."""
    others = {_key(row): row for row in second.rows}
    pairs = [(row, others[_key(row)]) for row in first.rows if _key(row) in others]
    rows = [_compared(one, other) for one, other in pairs]
    names, tested = _tested(first, second, pairs)
    for place, p_value in tested.items():
        rows[place] = ComparedRow(**{**vars(rows[place]), "p_value": p_value, "paired": names})
    both = {_key(one) for one, _ in pairs}
    alone = [[name_of(row) for row in report.rows if _key(row) not in both] for report in (first, second)]
    facts = [{"protocol": one.protocol, **{name: one.facts.get(name) for name in FACTS}} for one in (first, second)]
    notes = _notes(first, second, names if tested else 0)
    return RobustnessComparison(facts[0], facts[1], rows, alone[0], alone[1], notes)


def _key(row: RobustnessRow) -> tuple[str, str]:
    return row.group, name_of(row)


def _compared(one: RobustnessRow, other: RobustnessRow) -> ComparedRow:
    targets = one.target_map, other.target_map
    return ComparedRow(one.group, name_of(one), one.map, other.map, other.map - one.map, *targets)


def _tested(
    first: RobustnessReport, second: RobustnessReport, pairs: Sequence[tuple[RobustnessRow, RobustnessRow]]
) -> tuple[int, dict[int, float]]:
    """Return the number of queries that both keep, and the p-values of rows by their place."""
    places = [{name: place for place, name in enumerate(one.queries)} for one in (first, second)]
    if first.facts.get("checksum") != second.facts.get("checksum"):
        return 0, {}  # equal names of other data are other queries
    common = [name for name in first.queries if name in places[1]]
    rows = [place for place, sides in enumerate(pairs) if all(len(side.precisions) for side in sides)]
    if len(common) < 2 or not rows:
        return 0, {}
    gaps = []
    for place in rows:
        sides = zip(places, pairs[place], strict=True)
        one, other = (np.array([row.precisions[at[name]] for name in common], np.float64) for at, row in sides)
        gaps.append(other - one)  # None is NaN: a query without a relevant item
    counted = ~np.isnan(gaps).any(axis=0)
    if int(counted.sum()) < 2:
        return 0, {}
    found = compare_many(np.zeros(int(counted.sum())), -np.array(gaps)[:, counted])
    return int(counted.sum()), dict(zip(rows, found.tolist(), strict=True))


def _notes(first: RobustnessReport, second: RobustnessReport, paired: int) -> list[str]:
    other = [word for name, word in SAME.items() if first.facts.get(name) != second.facts.get(name)]
    if first.protocol != second.protocol:
        other.insert(0, "data")
    found = [f"the two have another {' and '.join(other)}, so their numbers differ for that too"] if other else []
    if first.facts.get("epsilon") != second.facts.get("epsilon"):
        found.append("attacks by name had another budget")
    if paired:
        found.append(f"p: paired randomization test over {paired:,} queries, corrected for the number of rows")
    else:
        found.append("not paired, as not both keep the same queries")
    return found


def _title(facts: Mapping[str, Any]) -> str:
    defence = facts.get("defence")
    defended = f", defended by {defence['name']}" if isinstance(defence, Mapping) else ""
    return f"{facts['protocol']}: {facts['method']}, {facts['bits']} bits{defended}, {facts['queries']} queries"


def _printable_lines(text: str) -> str:
    """Return text of several lines that is safe to print."""
    return "\n".join(map(printable, text.split("\n")))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
