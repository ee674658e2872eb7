"""Cells of a table of results: mean and deviation over seeds, and marks of the best and of what equals it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from kinbits._util import require
from kinbits.metrics import compare_many

LEVEL = 0.05  # of a family of tests: what competes in one column
TOSSES = 2000  # the smallest p-value is 1/2001: even that of 50 rivals is below the level after Holm's correction
NEAR = "†"


@dataclass(frozen=True)
class Cell:
    """One method at one code length.

    Attributes:
        values: The metric, one value for each seed.
        per_query: Mean over seeds for each query, ``(q,)``; None if it is not known.
        rivals: Number of other methods that it competes with at its code length.
        best: Whether none of them has a higher mean.
        p_value: Of the paired test against the best, corrected for the number of rivals; 1 for the best. None if there
            was no test.
    """

    values: tuple[float, ...]
    per_query: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    rivals: int = 0
    best: bool = False
    p_value: float | None = None

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
    def near(self) -> bool:
        """Whether the test does not tell it from the best."""
        return not self.best and self.p_value is not None and self.p_value >= LEVEL

    @property
    def untested(self) -> bool:
        """Whether it has rivals, but could not be tested."""
        return self.rivals > 0 and self.p_value is None

    @property
    def details(self) -> str:
        """The value of each seed, how sure their mean is, and the outcome of the test."""
        seeds = len(self.values)
        text = f"{seeds} run{'s' if seeds > 1 else ''}: " + ", ".join(f"{value:.4f}" for value in self.values)
        if seeds > 1:
            text += f"; 95 % confidence interval of the mean: ± {self.halfwidth:.4f}"
        if self.p_value is not None and not self.best:
            text += f"; p = {self.p_value:.3g} against the best"
        return text

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + (f" ± {self.deviation:.3f}" if len(self.values) > 1 else "")


def mark_best(cells: Sequence[Cell | None]) -> list[Cell | None]:
    """Mark the best cell of one group and column, and test the others against it.

    Without a rival, no cell is marked. Cells without values of queries are not tested.
    """
    present = [cell for cell in cells if cell is not None]
    if len(present) < 2:
        return list(cells)
    top = max(present, key=lambda cell: cell.mean)
    p_values = _against(top, [cell for cell in present if cell is not top])
    return [
        cell and replace(cell, rivals=len(present) - 1, best=cell.mean == top.mean, p_value=p_values.get(id(cell)))
        for cell in cells
    ]


def _against(top: Cell, others: Sequence[Cell]) -> dict[int, float]:
    """Return p-values by the identity of the cells, as far as there are values of queries."""
    known = {id(cell): cell.per_query for cell in others if cell.per_query is not None}
    if top.per_query is None or not known:
        return {}
    found = compare_many(top.per_query, np.stack(list(known.values())), samples=TOSSES)
    return {id(top): 1.0, **dict(zip(known, found.tolist(), strict=True))}
