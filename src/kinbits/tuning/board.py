"""The leaderboard of a search: one row for each candidate, the best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap

import numpy as np

from kinbits import metrics
from kinbits._util import shortened
from kinbits.tuning.candidates import Candidate
from kinbits.tuning.held_out import METRIC
from kinbits.tuning.search import NOT_REACHED, Trial

SAMPLES = 2000  # bootstrap draws and tosses
LEVEL = 0.05
WIDTH, SHOWN, FAILURES = 80, 15, 5
LONGEST = 28  # characters of a method, for lines of 80 columns
COLUMNS = ("rank", "method", "recipe", "epochs", "score", "95 % interval", "seconds")
LEFT = ("method", "recipe")


@dataclass(frozen=True)
class Row:
    """A candidate in the leaderboard.

    Attributes:
        rank: Place by score, from 1; None if it was not tried.
        method: Method.
        recipe: Name of the recipe.
        epochs: Epochs of the trial with the best score; of the full recipe if it was not tried.
        score: Mean of the tie-aware mAP@all of the held-out rows, or None.
        low: Lower end of the 95 % interval of the score, for other rows of the same kind.
        high: Upper end.
        within_noise: Whether the rows do not tell it from the best: p > 0.05 in a paired randomization test with
            Holm's correction.
        seconds: Time that fitting and scoring took.
        round: Round of successive halving with this trial; 0 for a training-free method.
        note: Why it was not tried, or why a later trial failed.
        reference: Whether it is always shown: training-free methods, `softmax`, the recommended method, and those that
            were named.
        baseline: Whether the method is a baseline, which published methods with training should beat.
    """

    rank: int | None
    method: str
    recipe: str
    epochs: int
    score: float | None = None
    low: float | None = None
    high: float | None = None
    within_noise: bool = False
    seconds: float | None = None
    round: int | None = None
    note: str = ""
    reference: bool = False
    baseline: bool = False


def leaderboard(trials: Sequence[Trial], untried: Mapping[Candidate, str]) -> tuple[list[Row], Trial]:
    """Return the rows, and the trial that is the best.

    Args:
        trials: One or more; of several trials of a candidate, that with the best score counts. Of candidates with
            the same best run, the first one has a row.
        untried: Candidates that were not tried or failed, with the reason.
    """
    found: dict[Candidate, Trial] = {}
    for trial in sorted(trials, key=lambda trial: -trial.score):
        found.setdefault(trial.candidate, trial)
    runs: dict[tuple[str, int, str], Trial] = {}
    for one, trial in found.items():
        runs.setdefault(one.run_key(trial.epochs), trial)
    ranked = list(runs.values())
    best = ranked[0].result.per_query[METRIC]
    others = np.array([trial.result.per_query[METRIC] for trial in ranked[1:]]).reshape(-1, len(best))
    p_values = [1.0, *metrics.compare_many(best, others, samples=SAMPLES)]
    rows = [
        _row(rank, trial, bool(p > LEVEL), untried.get(trial.candidate, ""))
        for rank, (trial, p) in enumerate(zip(ranked, p_values, strict=True), 1)
    ]
    rows += [
        Row(None, one.method, one.recipe, one.epochs, note=why, baseline=one.baseline)
        for one, why in untried.items()
        if one not in found
    ]
    return rows, ranked[0]


def _row(rank: int, trial: Trial, within_noise: bool, note: str) -> Row:
    one, (low, high) = trial.candidate, trial.result.interval(METRIC, samples=SAMPLES)
    reference = one.pinned or one.named or not one.epochs
    seconds = round(trial.seconds, 2)
    return Row(
        rank,
        one.method,
        one.recipe,
        trial.epochs,
        trial.score,
        low,
        high,
        within_noise,
        seconds,
        trial.round,
        note,
        reference,
        one.baseline,
    )


def as_text(rows: Sequence[Row]) -> str:
    """Lay out the leaderboard in lines of at most 80 columns: the first rows, and those that are always shown."""
    tried = [row for row in rows if row.rank is not None]
    shown = [row for row in tried if row.reference or (row.rank or 0) <= SHOWN]
    cells = [COLUMNS, *(_cells(row) for row in shown)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    gap = "  " if sum(widths) + 2 * len(widths) - 2 <= WIDTH else " "
    lines = [gap.join(_padded(*one) for one in zip(COLUMNS, row, widths, strict=True)).rstrip() for row in cells]
    notes = ["* baseline"] if any(row.baseline for row in shown) else []
    notes += ["~ may be as good as the best"] if any(row.within_noise for row in shown[1:]) else []
    notes += [f"tried and not shown: {len(tried) - len(shown)}"] if len(tried) > len(shown) else []
    notes += _not_reached(rows)
    lines += wrap(f"({'; '.join(notes)})", WIDTH) if notes else []
    return "\n".join([*lines, *_failures(rows)])


def _not_reached(rows: Sequence[Row]) -> list[str]:
    """Say how many candidates were not reached, and name the methods of which none was."""
    missed = [row.method for row in rows if row.note == NOT_REACHED]
    reached = {row.method for row in rows if row.note != NOT_REACHED}
    whole = ", ".join(method for method in dict.fromkeys(missed) if method not in reached)
    return [f"not reached: {len(missed)}{', among them all of ' * bool(whole)}{whole}"] if missed else []


def _failures(rows: Sequence[Row]) -> list[str]:
    """Say what the first methods that failed had to say, each message once."""
    found = list(dict.fromkeys(f"{row.method} failed: {row.note}" for row in rows if row.note not in ("", NOT_REACHED)))
    lines = [line for text in found[:FAILURES] for line in wrap(text, WIDTH, subsequent_indent="  ")]
    return lines + [f"{len(found) - FAILURES} further failures"] * (len(found) > FAILURES)


def _padded(name: str, cell: str, width: int) -> str:
    return cell.ljust(width) if name in LEFT else cell.rjust(width)


def _cells(row: Row) -> tuple[str, ...]:
    method = shortened(row.method, LONGEST) + "*" * row.baseline
    if row.score is None:
        return "", method, row.recipe, str(row.epochs or ""), "", "", ""
    mark = "~" if row.within_noise and row.rank != 1 else " "
    interval = f"{row.low:.3f}-{row.high:.3f}"
    seconds, epochs = f"{row.seconds:.1f}", str(row.epochs or "")
    return str(row.rank), method, row.recipe, epochs, f"{row.score:.3f}{mark}", interval, seconds


def as_html(rows: Sequence[Row]) -> str:
    """Write the whole leaderboard as a table."""
    heads = "".join(f"<th>{escape(name)}</th>" for name in (*COLUMNS, "note"))
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in (*_cells(row), row.note))}</tr>" for row in rows
    )
    return f"<table><tr>{heads}</tr>{body}</table>"
