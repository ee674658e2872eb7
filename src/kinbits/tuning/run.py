"""tune: from a dataset to the method, the recipe and the model that suit it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np

from kinbits._util import Bar, checked
from kinbits.data import Dataset, FeatureCache
from kinbits.errors import DataError
from kinbits.fitting import FitSettings, as_training_data, fit
from kinbits.methods import DEFAULT_BITS
from kinbits.metrics import RankingResult
from kinbits.tuning.board import Row, leaderboard
from kinbits.tuning.budget import Budget
from kinbits.tuning.candidates import Candidate, Candidates
from kinbits.tuning.held_out import HeldOut
from kinbits.tuning.result import Leaderboard, TuneResult
from kinbits.tuning.search import Search, Trial
from kinbits.tuning.settings import TuneSettings, check_decided, share_of

if TYPE_CHECKING:
    from kinbits.fitting.options import FitOptions

SLACK = 1.5  # the last fit reads all features again, and is measured on other rows


def tune(
    data: Any,
    settings: FitSettings | None = None,
    *,
    budget: float | None = 600.0,
    methods: Sequence[str] | None = None,
    search: Literal["image", "text"] = "image",
    started: float | None = None,
    report: Callable[[Leaderboard], object] = lambda _: None,
    **options: Unpack[FitOptions],
) -> TuneResult:
    """Find the method and the recipe that suit the data, and fit the best to all rows.

    A share of the rows is held out; ``validation`` sets it, a fifth by default. Every candidate learns from the others,
    and is scored by the tie-aware mAP@all of the held-out rows, each of which searches all others. Relevant are rows
    with a shared label; without labels the ten nearest by features. With labels, methods that learn without them are
    chosen by the labels too. A candidate that raises an error is left out; the leaderboard says why.

    Args:
        data: A Dataset, or anything `kinbits.open_dataset` takes.
        settings: Options of `fit` that hold for all candidates; None takes their defaults.
        budget: Seconds on the clock for everything, with features and the last fit; None is no limit. With a seed and
            enough time, the result is always the same. The last runs may end late: a run is not stopped.
        methods: Names or .py files of the methods to try; None takes all that suit the data. Methods that need
            features of their own, such as feature maps or views, are left out if the budget is below an hour.
            Training-free methods, the one that `fit` would take and, with labels, the baseline `softmax` are always
            among the candidates. Methods that are named come first, and are fitted at least once each, even if the
            budget is short.
        search: ``"text"`` tries methods that read texts. The score is the mean of searching texts by images and images
            by texts.
        started: Time by `time.monotonic` from which the budget counts; None is now.
        report: Function that is called with the leaderboard before the best is fitted to all rows.
        options: Options of `fit` by name, except those that differ between candidates.

    Returns:
        The leaderboard and the model. After a KeyboardInterrupt, those of the trials that were finished. If the last
        fit fails or is interrupted, the leaderboard is a note of the exception.

    Raises:
        UsageError: If an option is unknown, out of range, or decided by tuning.
        DataError: If the data lack what a named method needs, or no held-out row has another one to find.
        PlatformError: If this machine lacks the hardware.

    Example:
        >>> from kinbits.data import open_dataset
        >>> labels = np.arange(120) % 3
        >>> vectors = np.eye(8)[labels] + 0.3 * np.random.default_rng(0).normal(size=(120, 8))
        >>> data = open_dataset(vectors, labels=labels)
        >>> result = tune(data, methods=["csq"], bits=8, progress=False)
        >>> {"csq", "itq", "softmax"} <= {row.method for row in result.rows}
        True
    """
    clock = Budget(budget, started=started)
    tuning = TuneSettings(budget, methods, search)
    given = (checked(settings, FitSettings | None, "settings") or FitSettings()).with_options(**options)
    check_decided(given)
    share = share_of(given, options)
    dataset = as_training_data(data)
    # all candidates have the same length
    with _cached(given.with_options(validation=0, bits=given.bits or DEFAULT_BITS)) as base:
        return _Tuning(dataset, base, tuning, clock, share).run(report)


@contextmanager
def _cached(settings: FitSettings) -> Iterator[FitSettings]:
    """Keep features for as long as the search takes where no cache is wanted: all candidates read the same."""
    if settings.features.cache is not None:
        yield settings
        return
    with TemporaryDirectory(prefix="kinbits-") as folder:
        yield settings.with_options(cache=FeatureCache(folder))


class _Tuning:
    """One run of `tune`."""

    def __init__(self, dataset: Dataset, base: FitSettings, tuning: TuneSettings, clock: Budget, share: float) -> None:
        self.clock, self.tuning = clock, tuning
        self.candidates = Candidates(dataset, base, tuning)
        without_text = np.flatnonzero(~dataset.has_text & self.candidates.reads_text)
        reasons = ["no text"] * len(without_text)
        self.dataset = dataset.without(without_text, reasons) if reasons else dataset
        self.base, self.quiet = base, base.with_options(progress=False)
        reference = base.with_options(method=self.candidates.reference)
        self.held_out = HeldOut(self.dataset, reference, share, text=tuning.search == "text")

    def run(self, report: Callable[[Leaderboard], object]) -> TuneResult:
        """Search, fit the best to all rows, and describe both."""
        search, interrupted = self._search()
        rows, best = leaderboard(search.trials, search.untried)
        board = self._board(tuple(rows), best, interrupted)
        report(board)
        try:
            model = fit(self.dataset, best.candidate.settings(self.base, best.epochs))
        except BaseException as error:
            error.add_note(f"The search before it found this; {board.options} are options of fit.\n{board}")
            raise
        board = replace(board, seconds=self._seconds)
        model.training = {**model.training, "tuning": {**board.record(), **asdict(self.tuning)}}
        return TuneResult(**vars(board), model=model)

    def _board(self, rows: tuple[Row, ...], best: Trial, interrupted: bool) -> Leaderboard:
        options = {"method": best.candidate.method, **best.candidate.options}
        options |= {"epochs": best.epochs} if best.epochs else {}
        held_out = self.held_out
        return Leaderboard(rows, options, len(held_out.ids), held_out.relevant, self._seconds, interrupted)

    @property
    def _seconds(self) -> float:
        return round(self.clock.spent, 1)

    def _search(self) -> tuple[Search, bool]:
        """Return the finished search, and whether it was interrupted."""
        baselines, learned = self.candidates.baselines, self.candidates.learned
        held_out = self.held_out
        refit = SLACK * held_out.rows / (held_out.rows - len(held_out.ids))
        with self._bar() as bar:
            search = Search(
                self._try,
                self.clock,
                refit=refit,
                overhead=SLACK * held_out.seconds,
                report=lambda one, number: bar.update(
                    self.clock.spent if self.clock.seconds else number, text=str(one)
                ),
            )
            try:
                search.try_all(baselines, learned)
            except KeyboardInterrupt:
                if search.best is None:
                    raise
                return search, True
        if search.best is None:
            raise DataError(f"no candidate could be fitted: {next(iter(search.untried.values()))}")
        return search, False

    def _bar(self) -> Bar:
        """Return the progress bar: of the seconds, or of about as many trials as there will be."""
        shown, trials = self.base.training.progress, len(self.candidates.baselines) + 2 * len(self.candidates.learned)
        if self.clock.seconds is None:
            return Bar("tuning, trials", trials, shown)
        return Bar("tuning, seconds", self.clock.seconds, shown)

    def _try(self, candidate: Candidate, epochs: int) -> RankingResult:
        return self.held_out.fit_and_score(self.held_out.job(candidate.settings(self.quiet, epochs)))
