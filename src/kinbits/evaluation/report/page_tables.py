"""Tables of the report page whose numbers come with an interval: operating points and classes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from kinbits.evaluation.report.row import Row
from kinbits.metrics import ClassResult, OperatingPoint

_MOST_CLASSES = 100  # of a table that is still read


def number(value: float | None, interval: tuple[float, float] | None) -> str:
    """Return a table cell with a number and, below it, its 95 % interval."""
    if value is None:
        return "<td>-</td>"
    if interval is None:
        return f"<td>{value:.4f}</td>"
    return f"<td>{value:.4f}<small>{interval[0]:.3f} to {interval[1]:.3f}</small></td>"


def operating_points(rows: Sequence[Row]) -> str:
    """Return a table for each target: the radius of each row, and what it reaches on the held-out queries."""
    coded = [row for row in rows if row.operating_points]
    first = coded[0].operating_points[0]
    told = (
        f"The radius is chosen on {first.chosen_on:,} queries; all other columns are measured on the other "
        f"{first.queries:,} (halves by seed {first.seed}), over all pairs of a query and an item within the radius. "
        "Below each number stands its 95 % interval."
    )
    bodies = "".join(_target(coded, place) for place in range(len(coded[0].operating_points)))
    head = _head("", "radius", "precision", "recall", "pairs")
    return f"<p class='note'>{told}</p><table><thead>{head}</thead>{bodies}</table>"


def _target(rows: Sequence[Row], place: int) -> str:
    points = [row.operating_points[place] for row in rows]
    lines = "".join(
        f"<tr{' class=own' if line == 0 else ''}><th scope='row'>{escape(row.name)}</th>{_point(point)}</tr>"
        for line, (row, point) in enumerate(zip(rows, points, strict=True))
    )
    return f"<tbody><tr><th scope='rowgroup' colspan='5'>{escape(points[0].target)}</th></tr>{lines}</tbody>"


def _point(point: OperatingPoint) -> str:
    if point.radius is None:
        return f"<td>none</td><td colspan='3'>no radius reaches it; highest: {point.chosen_value:.4f}</td>"
    precision, recall = (
        number(point.precision, point.precision_interval),
        number(point.recall, point.recall_interval),
    )
    return f"<td>{point.radius}</td>{precision}{recall}<td>{point.pairs:,}</td>"


def classes(found: Sequence[ClassResult], metrics: Sequence[str], name: str) -> str:
    """Return a table of the classes, that with the lowest first metric first."""
    measured = [one for one in found if one.queries]
    shown = sorted(measured, key=lambda one: one.values[metrics[0]])[:_MOST_CLASSES]
    told = [f"{name}, for the queries of each class, lowest {metrics[0]} first; below each number its 95 % interval"]
    if len(shown) < len(measured):
        told.append(f"the other {len(measured) - len(shown)} of {len(measured)} classes are in the JSON report")
    if any(not one.intervals for one in shown):
        told.append("fewer than 5 queries have no interval")
    unanswered = [one.name for one in found if not one.queries]
    if unanswered:
        told.append(f"without a relevant item: {', '.join(unanswered[:10])}{' …' if len(unanswered) > 10 else ''}")
    lines = "".join(
        f"<tr><th scope='row'>{escape(one.name)}</th><td>{one.queries:,}</td>"
        + "".join(number(one.values.get(metric), one.intervals.get(metric)) for metric in metrics)
        + "</tr>"
        for one in shown
    )
    head = _head("class", "queries", *metrics)
    note = escape("; ".join(told))
    return (
        f"<p class='note'>{note}.</p><div class='wide'><table><thead>{head}</thead><tbody>{lines}</tbody></table></div>"
    )


def _head(*names: str) -> str:
    cells = "".join(f"<th scope='col'>{escape(name)}</th>" for name in names)
    return f"<tr>{cells}</tr>"
