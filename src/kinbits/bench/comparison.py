"""Compare the results of methods at several code lengths: mean and deviation over seeds, the best marked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from kinbits._util import require
from kinbits.bench.results import IDENTITY
from kinbits.evaluation import IMAGE_TO_IMAGE

Record = dict[str, str]  # a row of the results: column -> text
Setting = tuple[str, str, str]  # protocol, backbone, direction

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
        n = len(self.values)
        return float(require("scipy.stats").t.ppf(0.975, n - 1)) * self.deviation / n**0.5 if n > 1 else float("nan")

    @property
    def details(self) -> str:
        """The value of each seed, and how sure their mean is."""
        values = f"{len(self.values)} runs: " + ", ".join(f"{value:.4f}" for value in self.values)
        if len(self.values) == 1:
            return values
        return f"{values}; 95 % confidence interval of the mean: ± {self.halfwidth:.4f}"

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + (f" ± {self.deviation:.3f}" if len(self.values) > 1 else "")


@dataclass(frozen=True)
class Comparison:
    """All methods on one protocol, one backbone and one direction of search.

    Attributes:
        setting: Protocol, backbone and direction.
        metric: What the cells show.
        bits: The columns.
        rows: Method and its cells, None where there is no result; in the order of the results.
        seeds: Largest number of seeds of a cell.
    """

    setting: Setting
    metric: str
    bits: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    seeds: int

    @classmethod
    def from_rows(cls, rows: Iterable[Record], metric: str) -> list[Comparison]:
        """Make one comparison for every protocol, backbone and direction.

        Of several rows for one method, code length and seed, the last counts: the method or its settings changed.
        """
        settings: dict[Setting, list[Record]] = {}
        latest = {tuple(row[name] for name in IDENTITY): row for row in rows}
        for row in latest.values():
            if row.get(metric):
                settings.setdefault((row["protocol"], row["backbone"], row["direction"]), []).append(row)
        return [cls._one(setting, metric, found) for setting, found in settings.items()]

    @classmethod
    def _one(cls, setting: Setting, metric: str, rows: Sequence[Record]) -> Comparison:
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
        seeds = max((len(cell.values) for cells in grid.values() for cell in cells if cell), default=0)
        return cls(setting, metric, bits, tuple(grid.items()), seeds)

    @property
    def caption(self) -> str:
        """What the numbers are."""
        protocol, backbone, direction = self.setting
        searched = "" if direction == str(IMAGE_TO_IMAGE) else f", {direction}"
        spread = f", mean ± deviation over {self.seeds} seeds" if self.seeds > 1 else ""
        return f"{protocol}, {backbone}{searched}: tie-aware {self.metric}{spread}"

    def markdown(self) -> str:
        """Return a Markdown table under its caption."""
        lines = [f"**{self.caption}**", "", "| method | " + " | ".join(f"{b} bits" for b in self.bits) + " |"]
        lines.append("| --- |" + " ---: |" * len(self.bits))
        for method, cells in self.rows:
            lines.append(f"| {method} | " + " | ".join(_marked(cell) for cell in cells) + " |")
        return "\n".join(lines)


def _cell(rows: Sequence[Record], method: str, bits: str, metric: str) -> Cell | None:
    """Gather a method's values; what has no bits, such as the features themselves, is in every column."""
    values = tuple(float(r[metric]) for r in rows if r["method"] == method and r["bits"] in (bits, FLOAT))
    return Cell(values) if values else None


def _marked(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    return f"**{cell}**" if cell.best else str(cell)
