"""kinbits bench: an experiment of many runs, and its tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, facts, note, print_json

if TYPE_CHECKING:
    from kinbits.bench import Experiment, Failure, Results

NOTE = "Ties count with their expected value. Made by `kinbits bench {name}`; one row per run lies in {csv}."


@app.command()
def bench(
    experiment: Annotated[Path, typer.Argument(metavar="EXPERIMENT.yaml", help="What to run.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="Where results lie; else results/ here.", show_default=False
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs made at the same time.")] = 1,
    tables_only: Annotated[bool, typer.Option("--tables", help="Make no runs, only the tables anew.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make every run of an experiment, and tables of the results.

    One CSV row is written per run; what is there already is not run again, so
    the command may be stopped and repeated. A run is made again when the code
    of its method has changed. The tables, in Markdown and HTML,
    show mean and deviation over seeds, the baselines beside.
    """
    from kinbits.bench import Experiment, Results
    from kinbits.bench import bench as make

    wanted = Experiment.from_file(experiment)
    folder = output or Path("results")
    path = folder / f"{experiment.stem}.csv"
    failures: list[Failure] = []
    if tables_only:
        results = Results(path, wanted.metrics)
    else:
        results, failures = make(wanted, path, jobs=jobs, tell=note)
    written = write_tables(wanted, results, experiment.stem)
    if as_json:
        failed = [{"run": str(one.run), "reason": one.reason} for one in failures]
        print_json({"results": path, "rows": len(results), "tables": written, "failed": failed})
    else:
        facts({"results": path, "rows": len(results), "tables": "\n".join(map(str, written))})
    if failures:
        note(f"{len(failures)} runs failed; the same command tries them again")
        raise typer.Exit(3)


def write_tables(experiment: Experiment, results: Results, name: str) -> list[Path]:
    """Write the tables beside the CSV file."""
    from kinbits._util import write_text
    from kinbits.bench import Comparison, document, page

    title, told = experiment.title or name, NOTE.format(name=f"{name}.yaml", csv=results.path.name)
    found = Comparison.all(results, experiment.metrics[0])
    texts = {".md": document(title, found, told), ".html": page(title, found, told.replace("`", ""))}
    written = []
    for suffix, text in texts.items():
        path = results.path.with_suffix(suffix)
        write_text(path, text)
        written.append(path)
    return written
