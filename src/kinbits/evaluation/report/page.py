"""The report as one HTML file that needs nothing else: tables, charts and pictures stand inside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from kinbits.evaluation.report import charts
from kinbits.evaluation.report.examples import Confusion, Example, Neighbour
from kinbits.evaluation.report.page_tables import classes, number, operating_points
from kinbits.evaluation.report.row import Row
from kinbits.metrics import CodeStatistics, lines

if TYPE_CHECKING:
    from kinbits.evaluation.report.report import Report

_MOST_CLASSES = 40  # of a matrix that can still be read


@dataclass(frozen=True)
class Details:
    """What a page shows beside the table.

    Attributes:
        best: Queries with the highest average precision.
        worst: Queries with the lowest.
        confusion: Classes among the first ten hits; None for several labels per item.
        statistics: Of the database's codes.
    """

    best: Sequence[Example]
    worst: Sequence[Example]
    confusion: Confusion | None
    statistics: CodeStatistics


def page(report: Report) -> str:
    """Return the page."""
    title = f"{report.facts['method']}, {report.facts['bits']} bits, on {report.name}"
    body = "\n".join(_sections(report, title))
    return (
        f"<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n<title>{escape(title)}</title>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _sections(report: Report, title: str) -> Iterator[str]:
    yield f"<header><h1>{escape(title)}</h1>{_summary(report)}</header>"
    yield _section("Numbers", _table(report), f"<p class='note'>{escape(report.caption)}</p>")
    if report.rows[0].operating_points:
        yield _section("Operating points", operating_points(report.rows))
    yield _section("Curves", f"<div class='charts'>{''.join(_curves(report))}</div>")
    if report.classes:
        yield _section("Classes", classes(report.classes, report.metrics, str(report.rows[0].name)))
    details = report.details
    if details is None:
        return
    if details.worst:
        yield _section("Best queries", *map(_example, details.best), note=_NEIGHBOURS)
        yield _section("Worst queries", *map(_example, details.worst))
    if details.confusion is not None:
        yield _section("Classes among the first ten hits", _confusion(details.confusion))
    yield _section("Codes", f"<div class='charts'>{_statistics(details.statistics)}</div>")


_NEIGHBOURS = (
    "The ten nearest items, left to right; below each its class and distance. A wrong one has a dashed red frame and ✗."
)


def _section(title: str, *parts: str, note: str = "") -> str:
    told = f"<p class='note'>{escape(note)}</p>" if note else ""
    return f"<section><h2>{escape(title)}</h2>{told}{''.join(parts)}</section>"


def _summary(report: Report) -> str:
    """Tell the model's first number, and how it stands beside the best of what needs no training."""
    name = report.metrics[0]
    own, *rest = report.rows
    others = [row for row in rest if row.bits is not None and name in row.values and row.direction == own.direction]
    text = f"{name} is <b>{own.values[name]:.3f}</b>"
    if name in own.intervals:
        low, high = own.intervals[name]
        text += f" (95 % interval {low:.3f} to {high:.3f})"
    if others:
        rival = max(others, key=lambda row: row.values[name])
        text += f"; the best beside it, {escape(rival.name)}, reaches {rival.values[name]:.3f}"
    facts = report.facts
    sizes = f"{facts['queries']:,} queries, {facts['database']:,} items; relevant: {facts['relevance']}"
    marks = f"{facts['backbone']}; fingerprint {str(facts['fingerprint'])[:12]}; split {str(facts['checksum'])[:12]}"
    return f"<p class='lead'>{text}.</p><p class='note'>{escape(sizes)}.<br>{escape(marks)}.</p>"


def _table(report: Report) -> str:
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in report.metrics)
    rows = "".join(_line(row, report.metrics, own=place == 0) for place, row in enumerate(report.rows))
    return f"<table><thead><tr><th scope='col'></th>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _line(row: Row, metrics: Iterable[str], own: bool) -> str:
    cells = "".join(number(row.values.get(name), row.intervals.get(name)) for name in metrics)
    return f"<tr{' class=own' if own else ''}><th scope='row'>{escape(row.name)}</th>{cells}</tr>"


def _curves(report: Report) -> Iterator[str]:
    yield charts.precision_recall(report.rows)
    if any(row.by_radius for row in report.rows):
        yield charts.precision_by_radius(report.rows)
    lines = _by_bits(report)
    if len({bits for line in lines.values() for bits, _ in line}) > 1:
        yield charts.bits_against(report.metrics[0], lines)


def _by_bits(report: Report) -> dict[str, list[tuple[float, float]]]:
    """Gather the rows of models by method; the name of a row ends in its bits where several are compared."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in report.rows:
        if row.bits is not None and report.metrics[0] in row.values:
            name = row.name.replace(f", {row.bits} bits", "")
            lines.setdefault(name, []).append((row.bits, row.values[report.metrics[0]]))
    return {name: sorted(points) for name, points in lines.items()}


def _example(example: Example) -> str:
    query = _figure(example.picture, example.label, f"AP {example.score:.3f}", "query", example.name)
    return f"<div class='hits'>{query}{''.join(map(_neighbour, example.neighbours))}</div>"


def _neighbour(hit: Neighbour) -> str:
    mark = "✓" if hit.right else "✗"
    return _figure(hit.picture, hit.label, f"{mark} {hit.distance} bits", "right" if hit.right else "wrong", hit.label)


def _figure(picture: str, label: str, line: str, kind: str, alternative: str) -> str:
    shown = (
        f"<img src='{picture}' alt='{escape(alternative, quote=True)}'>" if picture else "<span class='blank'></span>"
    )
    return f"<figure class='{kind}'>{shown}<figcaption>{escape(label)}<br>{escape(line)}</figcaption></figure>"


def _confusion(found: Confusion) -> str:
    worst = "".join(f"<li>{escape(a)} → {escape(b)}: {share:.1%}</li>" for a, b, share in found.worst())
    told = f"<p>Most often taken for another:</p><ul>{worst}</ul>" if worst else "<p>No class is taken for another.</p>"
    if len(found.names) > _MOST_CLASSES:
        return told
    head = "".join(f"<th scope='col'><span>{escape(name)}</span></th>" for name in found.names)
    lines = "".join(
        f"<tr><th scope='row'>{escape(name)}</th>{''.join(_share(value) for value in row)}</tr>"
        for name, row in zip(found.names, found.shares.tolist(), strict=True)
    )
    matrix = (
        f"<table class='matrix'><thead><tr><th scope='col'>query</th>{head}</tr></thead><tbody>{lines}</tbody></table>"
    )
    return f"<div class='wide'>{matrix}</div>{told}"


def _share(value: float) -> str:
    if value != value:  # NaN
        return "<td></td>"
    ink = "#fff" if value > 0.55 else "inherit"
    return f"<td style='background:rgba(31,99,181,{value:.3f});color:{ink}'>{100 * value:.0f}</td>"


def _statistics(found: CodeStatistics) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(name.strip())}<small>{escape(hint)}</small></th><td>{value:{form}}</td></tr>"
        for name, value, form, hint in lines(found)
        if value is not None
    )
    return f"<table><tbody>{rows}</tbody></table>{charts.distance_histogram(found.within, found.between)}"


_STYLE = """
:root{--ink:#1c2026;--soft:#5d6672;--line:#d9dde2;--paper:#fff;--good:#16803f;--bad:#c22f27}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:var(--ink);background:var(--paper);
max-width:72rem;margin:0 auto;padding:1.5rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
.lead{font-size:1.15rem;margin:.4rem 0}.note,small{color:var(--soft)}small{display:block;font-size:.78rem}
table{border-collapse:collapse}th,td{padding:.3rem .8rem;text-align:right;border-bottom:1px solid var(--line);
font-variant-numeric:tabular-nums;vertical-align:top}th:first-child{text-align:left}th[scope=row]{font-weight:400}
thead th,th[scope=rowgroup]{font-weight:600}.own th,.own td{font-weight:700}.own small{font-weight:400}
.charts{display:flex;flex-wrap:wrap;gap:1.5rem;align-items:flex-start}
.charts svg{width:33rem;max-width:100%;height:auto}
.hits{display:flex;gap:.5rem;overflow-x:auto;padding:.5rem 0}
figure{margin:0;width:5.6rem;flex:none;font-size:.75rem;line-height:1.3}
figure img,.blank{display:block;width:5.2rem;height:5.2rem;object-fit:contain;background:#f1f3f5;
border:3px solid var(--line);border-radius:4px}
.query{margin-right:1rem}.query img{border-color:var(--ink)}.right img{border-color:var(--good)}
.wrong img{border:3px dashed var(--bad)}.wrong figcaption{color:var(--bad)}
.wide{overflow-x:auto}.matrix td{padding:.2rem .35rem;text-align:center;border:1px solid var(--line);font-size:.8rem}
.matrix thead th{height:6.5rem;vertical-align:bottom;padding:.2rem}.matrix thead span{writing-mode:vertical-rl;
transform:rotate(180deg);font-weight:400}
@media print{section{break-inside:avoid}}
"""
