"""The table of a robustness report: its columns, its sections, and how a terminal shows them in 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kinbits._util import printable
from kinbits.robustness.row import RobustnessRow

if TYPE_CHECKING:
    from rich.table import Table

    from kinbits.robustness.report import RobustnessReport

FIRST = 5000  # hits; a smaller database has the same two numbers in both columns
TERMINAL, NAME = 80, 22  # columns of a terminal, and those of them that names need
SPARED = ("t@5000", "ms", "RMSE")  # left out in this order where a terminal is too narrow
SECTIONS = (
    ("edit", "everyday edits"),
    ("attack", "attacks"),
    ("curve", "other budgets"),
    ("bound", "bounds"),
)


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Attributes:
        name: Its head.
        text: Returns the cell of a row, or "" for none.
        meaning: What it is, in a few words.
    """

    name: str
    text: Callable[[RobustnessRow], str]
    meaning: str


def columns_of(report: RobustnessReport) -> list[Column]:
    """Return the columns that have a value."""
    clean, many = report.rows[0].map, report.facts["database"] > FIRST
    found = [
        Column("mAP", lambda row: _number(row.map), "mean average precision by the queries' own labels"),
        Column("@5000", lambda row: _number(row.map_5000) if many else "", "mAP over the first 5,000 hits"),
        Column("lost", lambda row: "" if row.group == "clean" else _number(clean - row.map), "mAP of clean - mAP"),
        Column("t-mAP", lambda row: _number(row.target_map), "mAP by target labels"),
        Column("t@5000", lambda row: _number(row.target_map_5000) if many else "", "t-mAP over the first 5,000 hits"),
        Column("2nd", lambda row: _number(row.transfer_map), "mAP of the same images on the second model"),
        Column("max", lambda row: "" if row.linf is None else f"{255 * row.linf:.0f}", "largest change, of 255"),
        Column("RMSE", lambda row: _number(row.rmse), "root of the mean squared change, of 1"),
        Column("SSIM", lambda row: _number(row.ssim), "structural similarity, 1 is no change"),
        Column("ms", lambda row: _milliseconds(row.seconds), "time of the attack, an image"),
    ]
    return [column for column in found if any(column.text(row) for row in report.rows)]


def sections_of(report: RobustnessReport) -> list[tuple[str, list[RobustnessRow]]]:
    """Return the headings and the rows below each, without the clean one and without empty ones."""
    found = [(heading, [row for row in report.rows if row.group == group]) for group, heading in SECTIONS]
    return [(heading, rows) for heading, rows in found if rows]


def name_of(row: RobustnessRow) -> str:
    """Return the name of a row; with its budget where the same attack has several."""
    return f"{row.name}, {budget_text(row.epsilon)}" if row.group == "curve" and row.epsilon is not None else row.name


def budget_text(epsilon: float) -> str:
    """Return a budget as it is usually written.

    Example:
        >>> budget_text(8 / 255), budget_text(0.1)
        ('8/255', '0.1')
    """
    levels = round(255 * epsilon, 6)
    return f"{levels:.0f}/255" if levels == round(levels) else f"{epsilon:.3g}"


def title_of(report: RobustnessReport) -> str:
    """Return what was measured, in a line."""
    facts = report.facts
    return (
        f"{report.protocol}: {facts['queries']:,} queries, {facts['database']:,} in the database, {facts['bits']} bits"
    )


def rows_table(report: RobustnessReport) -> Table:
    """Return the table that a terminal shows, at most 80 columns wide."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    every = columns_of(report)
    columns = _fitting(every, report)
    hidden = [column.name for column in every if column not in columns]
    caption = "; ".join([*([f"not shown: {', '.join(hidden)}"] if hidden else []), caption_of(report, columns)])
    table = Table(
        box=SIMPLE_HEAD,
        title=Text(printable(title_of(report))),
        title_justify="left",
        caption=caption,
        caption_justify="left",
        pad_edge=False,
        padding=(0, 1),
        collapse_padding=True,
    )
    table.add_column("", overflow="fold")
    for column in columns:
        table.add_column(column.name, justify="right", no_wrap=True)
    clean = report.rows[0]
    table.add_row("clean", *(column.text(clean) for column in columns), style="bold", end_section=True)
    for heading, rows in sections_of(report):
        table.add_row(Text(heading, "italic"))
        for row in rows:
            table.add_row(Text(printable(f"  {name_of(row)}")), *(column.text(row) for column in columns))
        table.add_section()
    return table


def _fitting(columns: list[Column], report: RobustnessReport) -> list[Column]:
    """Return the columns that leave names their place in a terminal."""
    widths = {one.name: 2 + max(len(one.name), *(len(one.text(row)) for row in report.rows)) for one in columns}
    left = [one.name for one in columns]
    for name in SPARED:
        if name in left and sum(widths[one] for one in left) > TERMINAL - NAME:
            left.remove(name)
    return [one for one in columns if one.name in left]


def caption_of(report: RobustnessReport, columns: Sequence[Column] | None = None) -> str:
    """Return what is to be known about the numbers, in a line."""
    meanings = [f"{column.name}: {column.meaning}" for column in (columns or columns_of(report))[1:]]
    budget = f"attacks by name change a pixel by at most {budget_text(report.facts['epsilon'])}"
    attacked = [budget] if any(row.group == "attack" for row in report.rows) else []
    always = ["bounds are codes that no image need reach", "ties count with their expected value"]
    return "; ".join([*attacked, *meanings, *always, *report.notes])


def _number(value: float | None) -> str:
    return "" if value is None else f"{round(value, 3) + 0.0:.3f}"  # no -0.000


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{1000 * seconds:.0f}" if seconds >= 0.01 else f"{1000 * seconds:.2g}"
