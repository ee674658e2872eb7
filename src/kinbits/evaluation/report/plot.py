"""Precision-recall curves as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kinbits._util import require, save_figure
from kinbits.evaluation.row import Row


def plot_curves(rows: Sequence[Row], title: str, path: str | Path) -> Path:
    """Draw one curve per row that has one; the first, the model's, is the thick one."""
    figure = require("matplotlib.figure").Figure(figsize=(7, 5), dpi=120, layout="constrained")
    require("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, row in enumerate(row for row in rows if row.curve):
        recall, precision = zip(*row.curve, strict=True)
        label = f"{row.name} (mAP {row.values['map@all']:.3f})" if "map@all" in row.values else row.name
        axes.plot(recall, precision, linewidth=2.5 if number == 0 else 1.2, label=label)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(title, fontsize=11)
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=9, frameon=False)
    return save_figure(figure, path)
