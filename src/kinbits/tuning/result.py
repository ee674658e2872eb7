"""What `tune` returns: the leaderboard and the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from kinbits._util import import_pandas
from kinbits.model import HashModel
from kinbits.tuning.board import Row, as_html, as_text
from kinbits.tuning.held_out import NEIGHBOURS
from kinbits.tuning.recipes import BASELINE

WITHOUT_LABELS = """\
There are no labels: the score says how well codes keep the neighbours of the
features. Training-free methods win such a search as a rule. It does not say
which method is better for classes: label some images, and tune with them."""

BASELINE_IS_GOOD = f"""\
{BASELINE}, which has no loss for hashing, is within noise of the best: such a loss
adds little here."""


@dataclass(frozen=True, repr=False)
class TuneResult:
    """Outcome of `tune`; prints as its leaderboard.

    Attributes:
        board: One row for each candidate, the best first; at the end those that were not tried.
        model: The best candidate, fitted to all rows. Its training record holds the leaderboard as ``tuning``.
        options: Options of `fit` that make the same model.
        held_out: Number of rows that were held out.
        relevant: What makes a held-out row relevant to another one.
        seconds: Time that everything took.
        interrupted: Whether the search was interrupted.
    """

    board: tuple[Row, ...]
    model: HashModel
    options: Mapping[str, Any]
    held_out: int
    relevant: str
    seconds: float
    interrupted: bool = False

    @property
    def best(self) -> Row:
        """The first row of the leaderboard."""
        return self.board[0]

    def __repr__(self) -> str:
        tried = sum(row.rank is not None for row in self.board)
        return f"TuneResult({self.best.method} ({self.best.recipe}), {self.best.score:.4f}, {tried} candidates tried)"

    def __str__(self) -> str:
        return "\n".join([self._about, as_text(self.board), *self._remarks])

    def _repr_html_(self) -> str:
        below = "".join(f"<p>{escape(remark)}</p>" for remark in self._remarks)
        return f"<p>{escape(self._about)}</p>{as_html(self.board)}{below}"

    @property
    def _about(self) -> str:
        return f"map@all among {self.held_out:,} held-out rows; relevant: {self.relevant}"

    @property
    def _remarks(self) -> list[str]:
        """What else a reader should know, below the leaderboard."""
        good = any(row.method == BASELINE and row.within_noise for row in self.board)
        return [WITHOUT_LABELS] * (self.relevant == NEIGHBOURS) + [BASELINE_IS_GOOD] * good

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the leaderboard as one dict for each row."""
        return [asdict(row) for row in self.board]

    def to_pandas(self) -> Any:
        """Return the leaderboard as a pandas data frame.

        Raises:
            PlatformError: If pandas is not installed.
        """
        return import_pandas().DataFrame(self.to_dicts())
