"""kinbits bench: an experiment of many trials, and its tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, facts, note, print_json, show
from kinbits.errors import UsageError

if TYPE_CHECKING:
    from kinbits.bench import Status


@app.command()
def bench(
    experiment: Annotated[Path, typer.Argument(metavar="EXPERIMENT.yaml", help="What to run.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="Folder of the results; else ./results.", show_default=False
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Number of trials at the same time.")] = 1,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="METHOD",
            help="Run, check or prune only this method; repeat it for several.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Run nothing; exit with 1 if a trial is missing or stale.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="First remove rows that belong to no trial; with --only, those of its methods."),
    ] = False,
    tables_only: Annotated[bool, typer.Option("--tables", help="Run nothing; write the tables again.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Fit and evaluate every model of an experiment, and write tables.

    Each trial adds a row to a CSV file. A trial is run if it has no row, or a
    stale one: the settings, the recipe, the version of the method or the data
    are no longer those of the row. So the command can be stopped and started
    again. The tables (Markdown and HTML) show mean and deviation over seeds,
    with baselines.
    """
    from kinbits.bench import Experiment, Results, load_results, write_tables
    from kinbits.bench import bench as make

    if only and tables_only:
        raise UsageError("--only chooses what is run or checked, and --tables shows all rows; give one of them")
    if check and (tables_only or prune):
        raise UsageError("--check changes nothing; give it without --tables and --prune")
    wanted = Experiment.from_file(experiment)
    path = (output or Path("results")) / f"{experiment.stem}.csv"
    if check:
        status = Results(path, wanted.metrics).status(wanted.trials())
        raise typer.Exit(_checked(status.only(only or ()), as_json))
    if tables_only:
        made = load_results(wanted, path, prune=prune, tell=note)
    else:
        made = make(wanted, path, jobs=jobs, only=only or (), prune=prune, tell=note)
    written = write_tables(wanted, made.results, experiment.stem, made.status)
    if as_json:
        failed = [{"trial": str(one.trial), "reason": one.reason} for one in made.failures]
        print_json({"results": path, "rows": len(made.results), "tables": written, "failed": failed})
    else:
        facts({"results": path, "rows": len(made.results), "tables": "\n".join(map(str, written))})
    if made.status.orphans:
        note("rows of no trial stay in the file; --prune removes them")
    if made.failures:
        count = len(made.failures)
        note(f"{count} trial{'s' if count > 1 else ''} failed; the same command tries again")
        raise typer.Exit(3)


def _checked(status: Status, as_json: bool) -> int:
    """Print which trials are left, and return the exit code."""
    if as_json:
        left = {state: [str(trial) for trial in getattr(status, state)] for state in ("missing", "stale")}
        print_json({"done": len(status.done), **left, "rows_of_no_trial": len(status.orphans)})
    else:
        show("\n".join(status.lines()))
    return int(bool(status.left))
