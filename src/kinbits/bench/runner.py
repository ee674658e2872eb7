"""Work through an experiment: skip what is done, record what gets done, go on after a failure."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinbits.bench.experiment import Experiment, Trial
from kinbits.bench.measure import measure, splits_of
from kinbits.bench.results import Results
from kinbits.errors import KinbitsError, UsageError

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Failure:
    """A trial that failed.

    Attributes:
        trial: Which one.
        reason: Why, in one line.
    """

    trial: Trial
    reason: str


def bench(
    experiment: Experiment, results: Path, *, jobs: int = 1, tell: Tell = lambda line: None
) -> tuple[Results, list[Failure]]:
    """Run every trial of an experiment that is not in its results yet.

    The rows of a trial are on disk before the next one begins, so the work can be stopped at any time and taken up
    again. A trial that fails is reported, and the others go on.

    Args:
        experiment: What to run.
        results: The CSV file, new or of the same experiment.
        jobs: Trials at the same time, each in a process with its share of the processors.
        tell: Called with a line for each trial.

    Returns:
        All results, and the trials that failed.

    Raises:
        UsageError: If ``jobs`` is below 1.
        DataError: If a protocol's data are missing.
    """
    if jobs < 1:
        raise UsageError(f"jobs={jobs}: give 1 or more")
    kept = Results(results, experiment.metrics)
    trials = list(experiment.trials())
    left = [trial for trial in trials if not kept.done(trial, splits_of(trial.protocol).protocol.checksum)]
    tell(f"{len(trials)} trials, {len(trials) - len(left)} of them done before")
    failures: list[Failure] = []
    for number, (trial, rows, reason) in enumerate(_outcomes(left, jobs), 1):
        place = f"[{number}/{len(left)}] {trial}"
        if reason is not None:
            failures.append(Failure(trial, reason))
            tell(f"{place}: FAILED: {reason}")
            continue
        kept.add(rows)
        first = experiment.metrics[0]
        tell(f"{place}: {first} {', '.join(str(row[first]) for row in rows)} in {rows[0]['seconds']} s")
    return kept, failures


def accept_code(experiment: Experiment, results: Path) -> int:
    """Let rows count although the code of their methods has changed, such as by a new name.

    A trial is repeated when the code of its method has changed. Whoever knows that a change alters no number can accept
    it instead. The rows then hold the new code's hash, and still the commit that they were made with.

    Args:
        experiment: What the rows belong to.
        results: The CSV file; it is written anew.

    Returns:
        The number of trials whose last rows were accepted.

    Raises:
        PlatformError: If the file cannot be written.
    """
    kept = Results(results, experiment.metrics)
    accepted = sum(kept.accept(trial, splits_of(trial.protocol).protocol.checksum) for trial in experiment.trials())
    if accepted:
        kept.save()
    return accepted


Outcome = tuple[Trial, Sequence[dict[str, Any]], str | None]


def _outcomes(trials: Sequence[Trial], jobs: int) -> Iterator[Outcome]:
    if jobs == 1:
        yield from map(_attempt, trials)
        return
    threads = max(1, len(os.sched_getaffinity(0)) // jobs)
    context = multiprocessing.get_context("spawn")  # a forked child of a process with threads may hang
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_use_threads, initargs=(threads,)) as pool:
        waiting: set[Future[Outcome]] = {pool.submit(_attempt, trial) for trial in trials}
        try:
            while waiting:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _attempt(trial: Trial) -> Outcome:
    try:
        return trial, measure(trial), None
    except KinbitsError as error:
        return trial, [], str(error)
    except MemoryError:
        return trial, [], "out of memory; use fewer jobs or a smaller batch_size"
    except Exception as error:  # a fault in one method must not cost the night's other trials
        print(f"{trial}: {type(error).__name__}", file=sys.stderr)
        return trial, [], f"{type(error).__name__}: {error}"


def _use_threads(count: int) -> None:
    """Give a worker its share of the processors."""
    os.environ.update(OMP_NUM_THREADS=str(count), KINBITS_THREADS=str(count))
    import torch

    torch.set_num_threads(count)
