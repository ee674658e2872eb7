"""What `tune` finds: the leaderboard, and then the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from kinbits._util import import_pandas, shortened
from kinbits.model import HashModel
from kinbits.tuning.board import LONGEST, Row, as_html, as_text
from kinbits.tuning.held_out import NEIGHBOURS
from kinbits.tuning.recipes import BASELINE

WITHOUT_LABELS = """\
There are no labels: the score says how well codes keep the neighbours of the
features. Training-free methods win such a search as a rule. It does not say
which method is better for classes: label some images, and tune with them."""

BASELINE_IS_GOOD = f"""\
{BASELINE}, which has no loss for hashing, is within noise of the best: such a loss
adds little here."""

FEW = 30
FEW_ROWS = f"""\
Fewer than {FEW} held-out rows hardly tell two candidates apart. Give more
images, or hold out a larger share."""


@dataclass(frozen=True, repr=False)
class Leaderboard:
    """What a search found; prints as a table.

    Attributes:
        rows: One row for each candidate, the best first; at the end those that were not tried.
        options: Options of `fit` that make the model of the best candidate.
        held_out: Number of rows that were held out.
        relevant: What makes a held-out row relevant to another one.
        seconds: Time that it took.
        interrupted: Whether the search was interrupted.
    """

    rows: tuple[Row, ...]
    options: Mapping[str, Any]
    held_out: int
    relevant: str
    seconds: float
    interrupted: bool

    @property
    def best(self) -> Row:
        """The first row."""
        return self.rows[0]

    def __repr__(self) -> str:
        tried = sum(row.rank is not None for row in self.rows)
        best = f"{shortened(self.best.method, LONGEST)} ({self.best.recipe})"
        return f"{type(self).__name__}({best}, {self.best.score:.4f}, {tried} tried)"

    def __str__(self) -> str:
        return "\n".join([self._about, as_text(self.rows), *self._remarks])

    def _repr_html_(self) -> str:
        below = "".join(f"<p>{escape(remark)}</p>" for remark in self._remarks)
        return f"<p>{escape(self._about)}</p>{as_html(self.rows)}{below}"

    @property
    def _about(self) -> str:
        return f"map@all among {self.held_out:,} held-out rows; relevant: {self.relevant}"

    @property
    def _remarks(self) -> list[str]:
        """What else a reader should know, below the leaderboard."""
        good = any(row.method == BASELINE and row.within_noise for row in self.rows)
        few = [FEW_ROWS] * (self.held_out < FEW)
        return few + [WITHOUT_LABELS] * (self.relevant == NEIGHBOURS) + [BASELINE_IS_GOOD] * good

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return one dict for each row."""
        return [asdict(row) for row in self.rows]

    def to_pandas(self) -> Any:
        """Return a pandas data frame of the rows.

        Raises:
            PlatformError: If pandas is not installed.
        """
        return import_pandas().DataFrame(self.to_dicts())

    def record(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        names = ("options", "held_out", "relevant", "seconds", "interrupted")
        return {**{name: getattr(self, name) for name in names}, "board": self.to_dicts()}


@dataclass(frozen=True, repr=False)
class TuneResult(Leaderboard):
    """Outcome of `tune`: the leaderboard, with the time that everything took, and the model.

    Attributes:
        model: The best candidate, fitted to all rows. Its training record holds the leaderboard as ``tuning``.
    """

    model: HashModel
