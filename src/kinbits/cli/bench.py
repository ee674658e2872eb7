"""kinbits bench: an experiment of many trials, and its tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, facts, note, print_json

if TYPE_CHECKING:
    from kinbits.bench import Failure


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
    tables_only: Annotated[bool, typer.Option("--tables", help="Run nothing; write the tables again.")] = False,
    accept: Annotated[
        bool,
        typer.Option("--accept-code", help="Keep rows whose method has changed in code: the change alters no number."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Fit and evaluate every model of an experiment, and write tables.

    Each trial adds a row to a CSV file, and trials that have a row are not
    repeated. So the command can be stopped and started again. A trial is
    repeated when the code of its method has changed; `--accept-code` keeps its
    rows, where only names have changed, say. The tables (Markdown and HTML)
    show mean and deviation over seeds, with baselines.
    """
    from kinbits.bench import Experiment, Results, accept_code, write_tables
    from kinbits.bench import bench as make

    wanted = Experiment.from_file(experiment)
    path = (output or Path("results")) / f"{experiment.stem}.csv"
    failures: list[Failure] = []
    if accept:
        note(f"rows of {accept_code(wanted, path)} trials count although their code has changed")
    if tables_only:
        results = Results(path, wanted.metrics)
    else:
        results, failures = make(wanted, path, jobs=jobs, tell=note)
    written = write_tables(wanted, results, experiment.stem)
    if as_json:
        failed = [{"trial": str(one.trial), "reason": one.reason} for one in failures]
        print_json({"results": path, "rows": len(results), "tables": written, "failed": failed})
    else:
        facts({"results": path, "rows": len(results), "tables": "\n".join(map(str, written))})
    if failures:
        note(f"{len(failures)} trials failed; the same command tries them again")
        raise typer.Exit(3)
