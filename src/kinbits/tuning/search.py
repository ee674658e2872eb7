"""Successive halving over methods and recipes, within a budget of time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from kinbits.metrics import RankingResult
from kinbits.tuning.budget import Budget
from kinbits.tuning.candidates import Candidate
from kinbits.tuning.failure import failure_text
from kinbits.tuning.held_out import METRIC

SHARES = (0.25, 0.5, 1.0)  # of a recipe's epochs, by round
NOT_REACHED = "not reached"
CAUTION = 0.1  # share of the time

Run = Callable[[Candidate, int], RankingResult]
Report = Callable[[Candidate, int], None]


@dataclass(frozen=True, eq=False)
class Trial:
    """A candidate that was fitted and scored.

    Attributes:
        candidate: What was fitted.
        epochs: For how many epochs.
        round: In which round; 0 for baselines.
        result: The score of each held-out row.
        seconds: Time that fitting and scoring took.
    """

    candidate: Candidate
    epochs: int
    round: int
    result: RankingResult
    seconds: float

    @property
    def score(self) -> float:
        """Mean over the held-out rows."""
        return self.result[METRIC]


class Search:
    """Successive halving.

    All candidates are fitted for a quarter of their epochs, the better half for a half, and the better half of these
    for all, each time from scratch, so that schedules are whole. Pinned candidates stay. The recipes of the leading
    method stay too: one with a small learning rate starts behind, and may end in front. Candidates that come to
    the same run share its trial. A candidate that raises an error is left out, and the others go on.

    A trial is started if the time that it and the last fit to all rows are likely to take is left; the seconds per
    epoch of earlier trials say how much that is. Pinned candidates, and methods that a person named, are tried once
    in any case. In the last tenth of the time, no method has its first trial: how long
    it takes is a guess from other methods. Each round may use an equal part of the time, so that a short budget
    compares fewer candidates, but some of them to the end. What was left out is taken up when time remains.

    Reference: K. Jamieson, A. Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization",
    AISTATS 2016.

    Args:
        run: Function that fits a candidate for some epochs and scores it.
        budget: The time.
        refit: How many times as long as a trial the last fit to all rows takes.
        overhead: Seconds that the last fit needs before its first epoch.
        report: Function that is called before a trial, with the number of those that were made.

    Attributes:
        trials: What was tried, in order.
        untried: Reason, for each candidate that was left out, or failed in a later round.
    """

    def __init__(
        self,
        run: Run,
        budget: Budget,
        *,
        refit: float = 1.0,
        overhead: float = 0.0,
        report: Report = lambda *_: None,
    ) -> None:
        self._run, self._budget, self._report = run, budget, report
        self._refit, self._overhead = refit, overhead
        self.trials: list[Trial] = []
        self.untried: dict[Candidate, str] = {}

    def try_all(self, baselines: Iterable[Candidate], learned: Sequence[Candidate]) -> None:
        """Try the baselines, then search among the candidates that are trained."""
        self.untried.update(dict.fromkeys(learned, NOT_REACHED))
        for one in baselines:
            self._try(one, 0, 0)
        waiting: Sequence[Candidate] = learned
        while waiting:
            self._halve(waiting)
            left = [one for one in waiting if self.untried.get(one) == NOT_REACHED]
            waiting = left if len(left) < len(waiting) else ()

    @property
    def best(self) -> Trial | None:
        """The trial with the highest score, the earliest of equal ones; None without any."""
        return max(self.trials, key=lambda trial: trial.score, default=None)

    def _halve(self, candidates: Sequence[Candidate]) -> None:
        running = candidates
        for number, share in enumerate(SHARES, 1):
            until = self._budget.spent + (self._budget.left - self._reserve()) / (len(SHARES) - number + 1)
            done: list[Trial] = []
            for one in running:
                epochs = math.ceil(one.epochs * share)
                in_time = not done or self._budget.spent + self._seconds(one, epochs) <= until
                if (in_time and self._fits(one, epochs)) or (number == 1 and (one.pinned or one.named)):
                    trial = self._try(one, epochs, number)
                    done += [] if trial is None else [trial]
            running = better_half(done)

    def _fits(self, candidate: Candidate, epochs: int) -> bool:
        seconds = self._seconds(candidate, epochs)
        known = any(trial.candidate.method == candidate.method for trial in self.trials)
        caution = 0.0 if known or self._budget.seconds is None else CAUTION * self._budget.seconds
        return seconds + max(self._reserve(), self._last_fit(seconds)) + caution <= self._budget.left

    def _reserve(self) -> float:
        """Return the seconds that fitting the best candidate to all rows is likely to take."""
        return 0.0 if self.best is None else self._last_fit(self.best.seconds)

    def _last_fit(self, trial: float) -> float:
        return self._overhead + self._refit * trial

    def _seconds(self, candidate: Candidate, epochs: int) -> float:
        """Predict the time of a trial: by the slowest of the method, else of all; 0 before any was trained."""
        trained = [trial for trial in self.trials if trial.epochs]
        own = [trial for trial in trained if trial.candidate.method == candidate.method]
        return epochs * max((trial.seconds / trial.epochs for trial in own or trained), default=0.0)

    def _try(self, candidate: Candidate, epochs: int, number: int) -> Trial | None:
        """Fit and score, unless an earlier trial was the same run: a short recipe is a part of a long one."""
        same = [one for one in self.trials if one.candidate.run_key(one.epochs) == candidate.run_key(epochs)]
        if same:
            return self._shared(same, candidate, number)
        self._report(candidate, len(self.trials))
        started = self._budget.spent
        try:
            result = self._run(candidate, epochs)
        except MemoryError:  # the next candidates would meet it too
            raise
        except Exception as error:  # whatever a user's own method raises
            self.untried[candidate] = failure_text(error)
            return None
        self.untried.pop(candidate, None)
        trial = Trial(candidate, epochs, number, result, self._budget.spent - started)
        self.trials.append(trial)
        return trial

    def _shared(self, same: Sequence[Trial], candidate: Candidate, number: int) -> Trial:
        """Return the trial of a candidate whose run was made before, maybe for another candidate."""
        own = [trial for trial in same if trial.candidate is candidate]
        if own:
            return own[0]
        self.untried.pop(candidate, None)
        self.trials.append(replace(same[0], candidate=candidate, round=number))
        return self.trials[-1]


def better_half(trials: Sequence[Trial]) -> list[Candidate]:
    """Return the candidates that stay: pinned ones, those of the leader's method, and half of the others, in order."""
    ranked = sorted(trials, key=lambda trial: -trial.score)
    others = [one for one in ranked if not one.candidate.pinned and one.candidate.method != ranked[0].candidate.method]
    left_out = set(others[len(others) // 2 :])
    return [trial.candidate for trial in trials if trial not in left_out]
