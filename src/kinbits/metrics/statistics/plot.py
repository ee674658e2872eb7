"""Statistics of codes as a picture; needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kinbits._util import require, save_figure
from kinbits.metrics.groups import Counts
from kinbits.metrics.statistics.values import CodeStatistics

_WITHIN, _BETWEEN = "#1b7f5c", "#c2553a"


def plot_statistics(found: CodeStatistics, path: str | Path) -> Path:
    """Draw distances of pairs, the balance of each bit, and the correlations of bits.

    Args:
        found: What to draw.
        path: The file; its ending names the format, e.g. ``.png``.

    Returns:
        The absolute path.

    Raises:
        UsageError: If the ending of the path names no format.
        PlatformError: If matplotlib is missing or the file cannot be written.
    """
    figure = require("matplotlib.figure").Figure(figsize=(12, 4), dpi=120, layout="constrained")
    require("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    _distances(left, found)
    _balance(middle, found)
    _correlations(figure, right, found)
    figure.suptitle(
        f"{found.items:,} codes of {found.bits} bits: {found.distinct / found.items:.0%} distinct, "
        f"{found.effective_bits:.1f} effective bits",
        fontsize=12,
    )
    return save_figure(figure, path)


def _distances(axes: Any, found: CodeStatistics) -> None:
    parts = [(found.between, _BETWEEN, "different classes"), (found.within, _WITHIN, "one class")]
    if found.distance_within is None:
        parts = [(found.between, _BETWEEN, "all pairs")]
    for counts, colour, label in parts:
        shares: Any = counts / max(1, counts.sum())
        axes.bar(np.arange(len(counts)), shares, width=1.0, color=colour, alpha=0.6, label=label)
    axes.set(xlabel="Hamming distance", ylabel="share of pairs", title="distances of pairs")
    axes.set_xlim(-0.5, _last([counts for counts, _, _ in parts]) + 1.5)
    axes.legend(frameon=False)


def _last(parts: list[Counts]) -> int:
    """Return the largest distance that occurs."""
    return max((int(np.flatnonzero(counts).max(initial=0)) for counts in parts), default=0)


def _balance(axes: Any, found: CodeStatistics) -> None:
    shares = np.sort(found.bit_shares)
    axes.bar(np.arange(len(shares)), shares - 0.5, bottom=0.5, width=1.0, color="#3a6ea5", alpha=0.8)
    axes.axhline(0.5, color="black", linewidth=0.8)
    dead = f", {found.dead_bits} dead" if found.dead_bits else ""
    axes.set(xlabel="bits, sorted", ylabel="share of ones", ylim=(0, 1), title=f"balance of bits{dead}")


def _correlations(figure: Any, axes: Any, found: CodeStatistics) -> None:
    shown = axes.imshow(found.bit_correlations, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    figure.colorbar(shown, ax=axes, shrink=0.85)
    axes.set(xlabel="bit", ylabel="bit", title=f"correlation of bits (mean |r| {found.correlation:.2f})")
