"""Tables of a report for the terminal, at most 80 columns wide for four metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinbits._util import printable
from kinbits.evaluation.report.numbers import Numbers
from kinbits.metrics import OperatingPoint

if TYPE_CHECKING:
    from rich.table import Table


def metrics_table(numbers: Numbers) -> Table:
    """Return the metrics of each row."""
    from rich.table import Table
    from rich.text import Text

    facts = numbers.facts
    sizes = f"{facts['queries']:,} queries, {facts['database']:,} in the database, {facts['bits']} bits"
    title = Text(printable(f"{numbers.name}: {sizes}"))
    table = Table(title=title, title_justify="left", caption=numbers.caption, caption_justify="left")
    table.add_column("", overflow="fold")
    for name in numbers.metrics:
        table.add_column(name.replace("@", "\n@"), justify="right", no_wrap=True)
    for place, row in enumerate(numbers.rows):
        cells = (f"{row.values[name]:.4f}" if name in row.values else "-" for name in numbers.metrics)
        own = place == 0
        table.add_row(Text(printable(row.name)), *cells, style="bold" if own else None, end_section=own)
    return table


def operating_points_table(numbers: Numbers) -> Table:
    """Return the radius of each row that meets each target, and what it reaches."""
    from rich.table import Table
    from rich.text import Text

    first = numbers.rows[0].operating_points[0]
    table = Table(title="Operating points", title_justify="left", caption=_halves(first), caption_justify="left")
    table.add_column("", overflow="fold")
    for name in ("radius", "precision", "recall", "pairs"):
        table.add_column(name, justify="right", no_wrap=True)
    for place, target in enumerate(point.target for point in numbers.rows[0].operating_points):
        table.add_row(Text(target, "bold"))
        for row in numbers.rows:
            if row.operating_points:
                table.add_row(Text(printable(f"  {row.name}")), *_cells(row.operating_points[place]))
        table.add_section()
    return table


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
