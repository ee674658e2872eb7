"""Work through an experiment: run what is missing or stale, record what gets done, go on after a failure."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinbits._util import processors
from kinbits.bench.experiment import Experiment, Trial
from kinbits.bench.measure import measure
from kinbits.bench.protocol_data import splits_of
from kinbits.bench.results import Results
from kinbits.bench.status import Status
from kinbits.bench.weights import split_by_weights
from kinbits.errors import DataError, KinbitsError, UsageError

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


@dataclass(frozen=True)
class BenchResult:
    """What there is after an experiment was run.

    Attributes:
        results: All rows, also of methods that were not chosen.
        status: How the trials of the experiment and these rows compare.
        failures: The trials that failed.
    """

    results: Results
    status: Status
    failures: tuple[Failure, ...] = ()


def bench(
    experiment: Experiment,
    results: Path,
    *,
    jobs: int = 1,
    only: Sequence[str] = (),
    prune: bool = False,
    tell: Tell = lambda line: None,
) -> BenchResult:
    """Run every trial of an experiment that is missing in its results, or stale.

    The rows of a trial are on disk before the next one begins, so the work can be stopped at any time and taken up
    again. New rows replace stale ones of the same trial. A trial that fails is reported, and the others go on. Trials
    whose backbone has no weights on this machine are left out, with a message.

    Args:
        experiment: What to run.
        results: The CSV file, new or of the same experiment.
        jobs: Trials at the same time, each in a process with its share of the processors.
        only: Labels of the methods to run; empty runs all.
        prune: Whether to remove rows of no trial first, as far as ``only`` chooses their methods.
        tell: Called with a line for each trial.

    Raises:
        UsageError: If ``jobs`` is below 1, or the experiment has no method of a label.
        ArtefactError: If the file of results has another form.
        DataError: If a protocol's data are missing.
        PlatformError: If the results cannot be written, or another process writes them.
    """
    if jobs < 1:
        raise UsageError(f"jobs={jobs}: give 1 or more")
    kept, failures, finished = Results(results, experiment.metrics), list[Failure](), list[Trial]()
    with kept.writing():
        status = kept.status(experiment.trials())
        chosen = status.only(only)
        if prune:
            _prune(kept, chosen, tell)
            status, chosen = (one.without(chosen.orphans) for one in (status, chosen))
        left = _left(chosen, tell)
        for number, (trial, rows, reason) in enumerate(_outcomes(left, jobs), 1):
            place = f"[{number}/{len(left)}] {trial}"
            if reason is not None:
                failures.append(Failure(trial, reason))
                tell(f"{place}: FAILED: {reason}")
                continue
            kept.replace(trial, rows)
            finished.append(trial)
            first = experiment.metrics[0]
            tell(f"{place}: {first} {', '.join(str(row[first]) for row in rows)} in {rows[0]['seconds']} s")
    return BenchResult(kept, status.after(finished), tuple(failures))


def load_results(
    experiment: Experiment, results: Path, *, prune: bool = False, tell: Tell = lambda line: None
) -> BenchResult:
    """Return what is there of an experiment, without running a trial; arguments and other errors as in `bench`.

    Raises:
        DataError: If there are no rows.
    """
    kept = Results(results, experiment.metrics)
    if not len(kept):
        raise DataError(f"{results} has no rows yet; run the experiment first")
    with kept.writing() if prune else nullcontext():
        status = kept.status(experiment.trials())
        if prune:
            _prune(kept, status, tell)
            status = status.without(status.orphans)
    return BenchResult(kept, status)


def _prune(kept: Results, status: Status, tell: Tell) -> None:
    kept.prune(status.orphans)
    tell(f"removed rows of no trial: {len(status.orphans)}")


def _left(status: Status, tell: Tell) -> list[Trial]:
    """Return the trials to run; missing data end the work before it starts."""
    left, absent = split_by_weights(status.left)
    for line in (*status.lines(), *absent):
        tell(line)
    for protocol in dict.fromkeys(trial.protocol for trial in left):
        splits_of(protocol)
    return left


Outcome = tuple[Trial, Sequence[dict[str, Any]], str | None]


def _outcomes(trials: Sequence[Trial], jobs: int) -> Iterator[Outcome]:
    if jobs == 1:
        yield from map(_attempt, trials)
        return
    threads = max(1, processors() // jobs)
    context = multiprocessing.get_context("spawn")  # a forked child of a process with threads may hang
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=start_worker, initargs=(threads,)) as pool:
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


def start_worker(threads: int) -> None:
    """Prepare a process of a pool: its share of the processors, and an end when the pool's own process is gone."""
    _use_threads(threads)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """End this process when its parent is gone: a worker whose parent was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _use_threads(count: int) -> None:
    """Give a worker process its share of the processors."""
    os.environ.update(OMP_NUM_THREADS=str(count), KINBITS_THREADS=str(count))
    import torch

    torch.set_num_threads(count)
