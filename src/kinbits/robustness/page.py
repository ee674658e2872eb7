"""A robustness report as one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from kinbits._util import render
from kinbits.evaluation import hits_html, html_page, line_chart
from kinbits.robustness.row import RobustnessRow
from kinbits.robustness.table import budget_text, caption_of, columns_of, name_of, sections_of, title_of

if TYPE_CHECKING:
    from kinbits.robustness.report import RobustnessReport

_BODY = Path(__file__).with_name("report.html.j2")
_TABLE = Path(__file__).with_name("table.html.j2")
_SHOWN = 3  # edits with an example


def page(report: RobustnessReport) -> str:
    """Return the page."""
    facts = report.facts
    defended = f", defended by {facts['defence']['name']}" if facts["defence"] else ""
    title = f"{facts['method']}, {facts['bits']} bits{defended}, when images change"
    body = render(
        _BODY,
        title=title,
        report=report,
        subtitle=title_of(report),
        clean=report.rows[0],
        lowest={group: min(report.group(group), key=lambda row: row.map, default=None) for group in ("edit", "attack")},
        budget=budget_text(facts["epsilon"]),
        table=Markup(summary_table(report)),  # the template escapes
        chart=_chart(report),
        examples=_examples(report),
        hits=hits_html,
    )
    return html_page(title, Markup(body))


def summary_table(report: RobustnessReport) -> str:
    """Return the table alone, as a notebook shows it."""
    return render(
        _TABLE,
        title=title_of(report),
        caption=caption_of(report),
        columns=columns_of(report),
        clean=report.rows[0],
        sections=sections_of(report),
        name_of=name_of,
    )


def _chart(report: RobustnessReport) -> Markup | None:
    lines = {name: [(255 * x, y) for x, y in points] for name, points in report.curves().items()}
    if not lines:
        return None
    lines = dict(sorted(lines.items(), key=lambda line: line[1][-1][1]))  # the strongest first, which is the thick line
    return line_chart("mAP against the budget", lines, x="largest change of a pixel, of 255", y="mAP")


def _examples(report: RobustnessReport) -> list[RobustnessRow]:
    """Return the edits that cost most, and the attacks."""
    edits = sorted(report.group("edit"), key=lambda row: row.map)[:_SHOWN]
    return [row for row in (*edits, *report.group("attack")) if row.example is not None]
