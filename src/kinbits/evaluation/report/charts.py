"""Charts as SVG text that is part of an HTML page: no file, no font, no script from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from kinbits._util import require
from kinbits.evaluation.row import Row

Points = Sequence[tuple[float, float]]


def precision_recall(rows: Sequence[Row]) -> Markup:
    """Draw precision against recall, one curve per row that has one; the first, the model's, is the thick one."""

    def draw(axes: Any) -> None:
        _lines(axes, {row.name: row.curve for row in rows if row.curve})
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))

    return _svg(draw, "Precision against recall, by rank")


def precision_by_radius(rows: Sequence[Row]) -> Markup:
    """Draw precision within each Hamming radius."""

    def draw(axes: Any) -> None:
        _lines(axes, {row.name: list(enumerate(row.by_radius)) for row in rows if row.by_radius})
        axes.set(xlabel="radius, bits", ylabel="precision", ylim=(0, 1.02))

    return _svg(draw, "Precision within a Hamming radius")


def bits_against(metric: str, points: Mapping[str, Points]) -> Markup:
    """Draw a metric against the code length, one line per method."""

    def draw(axes: Any) -> None:
        _lines(axes, points, marker="o")
        lengths = sorted({int(x) for line in points.values() for x, _ in line})
        axes.set(xlabel="bits", ylabel=metric)
        axes.set_xscale("log", base=2)
        axes.set_xticks(lengths, [str(x) for x in lengths])
        axes.minorticks_off()

    return _svg(draw, f"{metric} against code length")


def line_chart(title: str, lines: Mapping[str, Points], *, x: str, y: str) -> Markup:
    """Draw lines with a mark at each point; the first is the thick one.

    Args:
        title: Title of the chart.
        lines: Points (x, y) by the name of the line.
        x: Name of the x axis.
        y: Name of the y axis, which begins at 0.
    """

    def draw(axes: Any) -> None:
        _lines(axes, lines, marker="o")
        axes.set(xlabel=x, ylabel=y, xlim=(0, None), ylim=(0, None))

    return _svg(draw, title)


def distance_histogram(within: NDArray[np.int64], between: NDArray[np.int64]) -> Markup:
    """Draw how far apart items are, as shares of the pairs of one class and of all others (or of all pairs)."""
    names = ("same class", "different classes") if within.sum() else ("", "all pairs")

    def draw(axes: Any) -> None:
        for name, counts in zip(names, (within, between), strict=True):
            if counts.sum():
                axes.step(range(len(counts)), counts / counts.sum(), where="mid", label=name, linewidth=1.8)
        axes.set(xlabel="distance, bits", ylabel="share of pairs")
        axes.legend(frameon=False, fontsize=9)

    return _svg(draw, "Distances of pairs")


def _lines(axes: Any, lines: Mapping[str, Points], marker: str = "") -> None:
    for number, (name, points) in enumerate(lines.items()):
        x, y = zip(*points, strict=True)
        axes.plot(x, y, linewidth=2.5 if number == 0 else 1.2, label=name, marker=marker)
    axes.legend(frameon=False, fontsize=9)


def _svg(draw: Callable[[Any], None], title: str) -> Markup:
    options = {"svg.fonttype": "none", "svg.hashsalt": "kinbits", "font.family": "sans-serif"}
    with require("matplotlib").rc_context(options):
        figure = require("matplotlib.figure").Figure(figsize=(5.6, 3.9), layout="constrained")
        require("matplotlib.backends.backend_svg").FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        draw(axes)
        axes.set_title(title, fontsize=11)
        axes.grid(alpha=0.3)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        file = StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    drawn = file.getvalue()[file.getvalue().index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.S)  # it names documents on the web
    named = f'<svg role="img" aria-label="{title}"'
    return Markup(_own_ids(drawn.replace("<svg", named, 1), title))  # matplotlib escapes the names in it


def _own_ids(drawn: str, title: str) -> str:
    """Make the ids of one drawing differ from those of the others on the page."""
    mark = re.sub(r"\W+", "-", title.lower())
    drawn = re.sub(r'\bid="', f'id="{mark}-', drawn)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{mark}-", drawn)
