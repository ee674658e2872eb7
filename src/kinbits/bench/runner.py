"""Work through an experiment: skip what is done, write down what gets done, go on after a failure."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinbits.bench.experiment import Experiment, Run
from kinbits.bench.measure import measure, splits_of
from kinbits.bench.results import Results
from kinbits.errors import KinbitsError, UsageError

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Failure:
    """A run that could not be done.

    Attributes:
        run: Which one.
        reason: Why, in one line.
    """

    run: Run
    reason: str


def bench(
    experiment: Experiment, results: Path, *, jobs: int = 1, tell: Tell = lambda line: None
) -> tuple[Results, list[Failure]]:
    """Make every run of an experiment that is not in its results yet.

    Each run's row is on disk before the next one begins, so the work can be stopped at any time and taken up again.
    A run that fails is reported, and the others are made.

    Args:
        experiment: What to run.
        results: The CSV file, new or of the same experiment.
        jobs: Runs made at the same time, each in a process with its share of the processors.
        tell: Called with a line for each run.

    Returns:
        All results, and the runs that failed.

    Raises:
        UsageError: ``jobs`` is below 1.
        DataError: A protocol's data are missing.
    """
    if jobs < 1:
        raise UsageError(f"jobs={jobs}: give 1 or more")
    kept = Results(results, experiment.metrics)
    runs = list(experiment.runs())
    left = [run for run in runs if not kept.done(run, splits_of(run.protocol).protocol.checksum)]
    tell(f"{len(runs)} runs, {len(runs) - len(left)} of them done before")
    failures: list[Failure] = []
    for number, (run, rows, reason) in enumerate(_made(left, jobs), 1):
        place = f"[{number}/{len(left)}] {run}"
        if reason is not None:
            failures.append(Failure(run, reason))
            tell(f"{place}: FAILED: {reason}")
            continue
        kept.add(rows)
        first = experiment.metrics[0]
        tell(f"{place}: {first} {', '.join(str(row[first]) for row in rows)} in {rows[0]['seconds']} s")
    return kept, failures


Made = tuple[Run, Sequence[dict[str, Any]], str | None]


def _made(runs: Sequence[Run], jobs: int) -> Iterator[Made]:
    if jobs == 1:
        yield from map(_attempt, runs)
        return
    threads = max(1, len(os.sched_getaffinity(0)) // jobs)
    context = multiprocessing.get_context("spawn")  # a forked child of a process with threads may hang
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_use_threads, initargs=(threads,)) as pool:
        waiting: set[Future[Made]] = {pool.submit(_attempt, run) for run in runs}
        try:
            while waiting:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _attempt(run: Run) -> Made:
    try:
        return run, measure(run), None
    except KinbitsError as error:
        return run, [], str(error)
    except MemoryError:
        return run, [], "out of memory; use fewer jobs or a smaller batch_size"
    except Exception as error:  # a fault in one method must not cost the night's other runs
        print(f"{run}: {type(error).__name__}", file=sys.stderr)
        return run, [], f"{type(error).__name__}: {error}"


def _use_threads(count: int) -> None:
    """Give a worker its share of the processors."""
    os.environ.update(OMP_NUM_THREADS=str(count), KINBITS_THREADS=str(count))
    import torch

    torch.set_num_threads(count)
