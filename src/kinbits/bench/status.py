"""Which trials of an experiment have numbers that count, and which rows belong to none of its trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from kinbits._util import shortened
from kinbits.bench.experiment import Trial
from kinbits.bench.protocol_data import data_checksum
from kinbits.bench.rows import Record
from kinbits.bench.weights import is_config_of
from kinbits.errors import unknown_name

PLACE = ("protocol", "method", "bits", "seed")
WIDTH = 78


@dataclass(frozen=True)
class Status:
    """The trials of an experiment, compared with the rows of its results.

    A row belongs to the trial with the same protocol, backbone, label, bits and seed. It is stale if its ``config`` or
    its ``split_checksum`` is not the present one.

    Attributes:
        done: Trials with rows, none of them stale.
        missing: Trials without rows.
        stale: Trials with stale rows.
        orphans: Rows of no trial: the method was taken out, or has another label.
    """

    done: tuple[Trial, ...]
    missing: tuple[Trial, ...]
    stale: tuple[Trial, ...]
    orphans: tuple[Record, ...]

    @classmethod
    def from_rows(cls, rows: Sequence[Record], trials: Iterable[Trial]) -> Self:
        """Compare rows with trials. Data are opened only where a protocol does not fix its checksum."""
        of_place: dict[tuple[str, ...], list[Record]] = {}
        for row in rows:
            of_place.setdefault(tuple(row[name] for name in PLACE), []).append(row)
        found: dict[str, list[Trial]] = {"done": [], "missing": [], "stale": []}
        owned: set[int] = set()
        for trial in trials:
            own = [row for row in of_place.get(_place(trial), []) if owns(trial, row)]
            owned.update(map(id, own))
            found[_state(trial, own)].append(trial)
        orphans = tuple(row for row in rows if id(row) not in owned)
        return cls(**{state: tuple(some) for state, some in found.items()}, orphans=orphans)

    @property
    def left(self) -> tuple[Trial, ...]:
        """The trials to run."""
        return (*self.missing, *self.stale)

    def only(self, labels: Collection[str]) -> Self:
        """Return the status of the methods with these labels; without labels, that of all.

        Raises:
            UsageError: If neither a trial nor a row of no trial has one of the labels.
        """
        if not labels:
            return self
        known = {trial.entry.label for trial in (*self.done, *self.left)} | {row["method"] for row in self.orphans}
        for label in labels:
            if label not in known:
                raise unknown_name("method", label, known, place="of the experiment")

        def chosen(trials: Iterable[Trial]) -> tuple[Trial, ...]:
            return tuple(trial for trial in trials if trial.entry.label in labels)

        orphans = tuple(row for row in self.orphans if row["method"] in labels)
        return type(self)(chosen(self.done), chosen(self.missing), chosen(self.stale), orphans)

    def without(self, orphans: Collection[Record]) -> Self:
        """Return the status when some rows of no trial are removed."""
        return replace(self, orphans=tuple(row for row in self.orphans if row not in orphans))

    def after(self, finished: Iterable[Trial]) -> Self:
        """Return the status when some of the trials that were left have new rows."""
        new = {_key(trial): trial for trial in finished}
        missing, stale = (tuple(one for one in some if _key(one) not in new) for some in (self.missing, self.stale))
        return replace(self, done=(*self.done, *new.values()), missing=missing, stale=stale)

    def lines(self) -> list[str]:
        """Return a description in up to four lines of text, each at most 78 characters long."""
        parts = {"missing": self.missing, "stale": self.stale}
        counts = [f"{len(self.done)} done", *(f"{len(some)} {state}" for state, some in parts.items())]
        labels = {state: [trial.entry.label for trial in some] for state, some in parts.items()}
        labels["rows of no trial"] = [row["method"] for row in self.orphans]
        total = len(self.done) + len(self.left)
        return [
            f"{total} trial{'s' if total != 1 else ''}: {', '.join(counts)}",
            *(_counted(state, some) for state, some in labels.items() if some),
        ]


def owns(trial: Trial, row: Record) -> bool:
    """Tell whether a row belongs to a trial, stale or not."""
    return all(row[name] == value for name, value in trial.columns.items())


def _place(trial: Trial) -> tuple[str, ...]:
    return tuple(trial.columns[name] for name in PLACE)


def _key(trial: Trial) -> tuple[tuple[str, str], ...]:
    return tuple(trial.columns.items())


def _state(trial: Trial, own: Sequence[Record]) -> str:
    if not own:
        return "missing"
    checksum = data_checksum(trial.protocol)
    done = all(is_config_of(trial, row["config"]) and row["split_checksum"] == checksum for row in own)
    return "done" if done else "stale"


def _counted(what: str, labels: Sequence[str]) -> str:
    listed = [f"{label} ({n})" for label, n in Counter(labels).items()]
    for shown in range(len(listed), 0, -1):
        more = f" and {len(listed) - shown} more" if shown < len(listed) else ""
        line = f"  {what}: {', '.join(listed[:shown])}{more}"
        if len(line) <= WIDTH:
            break
    return shortened(line, WIDTH)
