"""Tables from results: methods against code lengths, mean and deviation over seeds, the best in bold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from kinbits.bench.results import IDENTITY

Row = dict[str, str]
Place = tuple[str, str, str]  # protocol, backbone, direction

FLOAT = "float"


@dataclass(frozen=True)
class Cell:
    """One method at one code length.

    Attributes:
        values: The metric, one value for each seed.
        best: Whether no other method of the column has a higher mean.
    """

    values: tuple[float, ...]
    best: bool = False

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float:
        """Sample standard deviation over seeds; NaN for one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else float("nan")

    @property
    def halfwidth(self) -> float:
        """Half the width of the 95 % confidence interval of the mean (Student's t over seeds); NaN for one seed."""
        from scipy.stats import t

        n = len(self.values)
        return float(t.ppf(0.975, n - 1)) * self.deviation / n**0.5 if n > 1 else float("nan")

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + (f" ± {self.deviation:.3f}" if len(self.values) > 1 else "")


@dataclass(frozen=True)
class Comparison:
    """All methods on one protocol, one backbone and one direction of search.

    Attributes:
        place: Protocol, backbone and direction.
        metric: What the cells show.
        bits: The columns.
        rows: Method and its cells, None where there is no run; in the order of the results.
        runs: Seeds per cell, at most.
    """

    place: Place
    metric: str
    bits: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    runs: int

    @classmethod
    def all(cls, rows: Iterable[Row], metric: str) -> list[Comparison]:
        """Make one comparison for every protocol, backbone and direction.

        Of several rows for one method, code length and seed, the last counts: the method or its settings changed.
        """
        places: dict[Place, list[Row]] = {}
        latest = {tuple(row[name] for name in IDENTITY): row for row in rows}
        for row in latest.values():
            if row.get(metric):
                places.setdefault((row["protocol"], row["backbone"], row["direction"]), []).append(row)
        return [cls._one(place, metric, found) for place, found in places.items()]

    @classmethod
    def _one(cls, place: Place, metric: str, rows: Sequence[Row]) -> Comparison:
        bits = tuple(sorted({row["bits"] for row in rows if row["bits"] != FLOAT}, key=int))
        methods = list(dict.fromkeys(row["method"] for row in rows))
        grid = {method: tuple(_cell(rows, method, b, metric) for b in bits) for method in methods}
        coded = {row["method"] for row in rows if row["bits"] != FLOAT}
        for column in range(len(bits)):
            means = {m: cell.mean for m in coded if (cell := grid[m][column])}
            top = max(means.values(), default=0.0)
            for method in (m for m, mean in means.items() if mean == top):
                cell = grid[method][column]
                assert cell is not None
                marked = Cell(cell.values, best=True)
                grid[method] = (*grid[method][:column], marked, *grid[method][column + 1 :])
        runs = max((len(cell.values) for cells in grid.values() for cell in cells if cell), default=0)
        return cls(place, metric, bits, tuple(grid.items()), runs)

    @property
    def caption(self) -> str:
        """What the numbers are."""
        protocol, backbone, direction = self.place
        way = "" if direction == "image to image" else f", {direction}"
        spread = f", mean ± deviation over {self.runs} seeds" if self.runs > 1 else ""
        return f"{protocol}, {backbone}{way}: tie-aware {self.metric}{spread}"

    def markdown(self) -> str:
        """Return a Markdown table under its caption."""
        lines = [f"**{self.caption}**", "", "| method | " + " | ".join(f"{b} bits" for b in self.bits) + " |"]
        lines.append("| --- |" + " ---: |" * len(self.bits))
        for method, cells in self.rows:
            lines.append(f"| {method} | " + " | ".join(_marked(cell) for cell in cells) + " |")
        return "\n".join(lines)

    def html(self) -> str:
        """Return the same as an HTML table; pointing at a cell shows seeds and confidence interval."""
        head = "".join(f"<th scope='col'>{escape(b)} bits</th>" for b in self.bits)
        body = "\n".join(
            f"<tr><th scope='row'>{escape(method)}</th>{''.join(map(_html_cell, cells))}</tr>"
            for method, cells in self.rows
        )
        return (
            f"<table>\n<caption>{escape(self.caption)}</caption>\n"
            f"<thead><tr><th scope='col'>method</th>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
        )


def _cell(rows: Sequence[Row], method: str, bits: str, metric: str) -> Cell | None:
    """Gather a method's values; what has no bits, such as the features themselves, stands in every column."""
    values = tuple(float(r[metric]) for r in rows if r["method"] == method and r["bits"] in (bits, FLOAT))
    return Cell(values) if values else None


def _marked(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    return f"**{cell}**" if cell.best else str(cell)


def _html_cell(cell: Cell | None) -> str:
    if cell is None:
        return "<td>-</td>"
    told = f"{len(cell.values)} runs: " + ", ".join(f"{value:.4f}" for value in cell.values)
    if len(cell.values) > 1:
        told += f"; 95 % confidence interval of the mean: ± {cell.halfwidth:.4f}"
    return f"<td title='{escape(told)}'{' class=best' if cell.best else ''}>{escape(str(cell))}</td>"


_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1b1b1b}
table{border-collapse:collapse;margin:1.5rem 0}caption{text-align:left;font-weight:600;padding:.4rem 0}
th,td{padding:.25rem .9rem;text-align:right;border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}
th[scope=row],thead th:first-child{text-align:left;font-weight:400}.best{font-weight:700}
@media(prefers-color-scheme:dark){body{background:#161616;color:#e6e6e6}th,td{border-color:#3a3a3a}}"""


def page(title: str, comparisons: Sequence[Comparison], note: str) -> str:
    """Return a self-contained HTML page with all tables."""
    tables = "\n".join(one.html() for one in comparisons)
    return (
        f"<!doctype html>\n<html lang='en'><meta charset='utf-8'><title>{escape(title)}</title>\n"
        f"<meta name='viewport' content='width=device-width'>\n<style>{_STYLE}</style>\n"
        f"<h1>{escape(title)}</h1>\n<p>{escape(note)}</p>\n{tables}\n</html>\n"
    )


def document(title: str, comparisons: Sequence[Comparison], note: str) -> str:
    """Return all tables as Markdown."""
    return "\n\n".join(_document(title, comparisons, note)) + "\n"


def _document(title: str, comparisons: Sequence[Comparison], note: str) -> Iterator[str]:
    yield f"# {title}"
    yield note
    yield from (one.markdown() for one in comparisons)
