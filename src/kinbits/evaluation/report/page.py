"""The report as one HTML file that needs nothing else: tables, charts and pictures stand inside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from markupsafe import Markup

from kinbits._util import render
from kinbits.evaluation.report import charts
from kinbits.evaluation.report.class_table import shown_classes
from kinbits.evaluation.report.numbers import Numbers
from kinbits.evaluation.report.shared import html_page
from kinbits.evaluation.row import Row

_PAGE = Path(__file__).with_name("report.html.j2")
_SUMMARY = Path(__file__).with_name("summary.html.j2")
_MOST_CLASSES = 40  # of a matrix that can still be read


def page(numbers: Numbers) -> str:
    """Return the page."""
    classes, note = shown_classes(numbers.classes, numbers.metrics, numbers.rows[0].name)
    details = numbers.details
    statistics = details and details.statistics
    histogram = statistics and charts.distance_histogram(statistics.within, statistics.between)
    title = f"{numbers.facts['method']}, {numbers.facts['bits']} bits, on {numbers.name}"
    body = render(
        _PAGE,
        title=title,
        report=numbers,
        rival=_rival(numbers),
        curves=list(_curves(numbers)),
        classes=classes,
        classes_note=note,
        histogram=histogram,
        most_classes=_MOST_CLASSES,
    )
    return html_page(title, Markup(body))  # the template escapes


def summary_table(numbers: Numbers) -> str:
    """Return the table of metrics alone, as a notebook shows it."""
    return render(_SUMMARY, report=numbers)


def _rival(numbers: Numbers) -> Row | None:
    """Return the best row of codes in the first row's direction, by the first metric."""
    name, (own, *rest) = numbers.metrics[0], numbers.rows
    others = [row for row in rest if row.bits is not None and name in row.values and row.direction == own.direction]
    return max(others, key=lambda row: row.values[name], default=None)


def _curves(numbers: Numbers) -> Iterator[Markup]:
    yield charts.precision_recall(numbers.rows)
    if any(row.by_radius for row in numbers.rows):
        yield charts.precision_by_radius(numbers.rows)
    lines = _by_bits(numbers)
    if len({bits for line in lines.values() for bits, _ in line}) > 1:
        yield charts.bits_against(numbers.metrics[0], lines)


def _by_bits(numbers: Numbers) -> dict[str, list[tuple[float, float]]]:
    """Gather the rows of models by method; the name of a row ends in its bits where several are compared."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in numbers.rows:
        if row.bits is not None and numbers.metrics[0] in row.values:
            name = row.name.replace(f", {row.bits} bits", "")
            lines.setdefault(name, []).append((row.bits, row.values[numbers.metrics[0]]))
    return {name: sorted(points) for name, points in lines.items()}
