"""kinbits evaluate: numbers for a model and for baselines on the same features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from kinbits.cli.app import app
from kinbits.cli.models import ModelArgument
from kinbits.cli.output import JsonFlag, console, facts, note, print_json
from kinbits.cli.source import COLUMNS, Source, writable_folder
from kinbits.errors import PlatformError

if TYPE_CHECKING:
    from kinbits.evaluation import Report


@app.command()
@COLUMNS.add_after("seed")
def evaluate(
    model: ModelArgument,
    protocol: Annotated[
        str,
        typer.Argument(help="A name of `kinbits protocols`, or data, which a seed splits.", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder for report.json, report.html and pr-curves.png.",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="Metric, e.g. map@all or precision@r2; repeat for more. Default: those of the protocol.",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            metavar="TARGET",
            help="Target of a radius, e.g. precision=0.95 or recall=0.9; repeat for more.",
            show_default=False,
        ),
    ] = None,
    difficulty: Annotated[
        str | None,
        typer.Option(
            help="`easy`, `medium` or `hard`, for revisited Oxford and Paris. Default: medium.",
            metavar="LEVEL",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option("--compare", metavar="MODEL", help="Another model to compare with; repeat for more."),
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Measure methods that need no training too.")
    ] = True,
    database_codes: Annotated[
        str,
        typer.Option(
            help="`encoded`, or `learned`: codes that training gave to its own images (adsh, exchnet).",
            metavar="CODES",
        ),
    ] = "encoded",
    asymmetric: Annotated[
        bool, typer.Option("--asymmetric", help="Measure real-valued queries against the codes too.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    as_json: JsonFlag = False,
    **columns: Any,
) -> None:
    """Measure a model on a protocol.

    Metrics are expected values over random order of ties. For your own
    labelled folder, fit on `folder:PATH` and evaluate on `folder:PATH`: the
    model is then not trained on the queries. Images with captions and without
    labels are evaluated by pairs: the answer to an image is its own text, and
    to a text its image. `--at` chooses a radius on half of the queries and
    measures it on the other half. The model's folder stores the results.
    """
    from kinbits.evaluation import evaluate as measure
    from kinbits.model import HashModel

    if output is not None:
        writable_folder(output)
    loaded = HashModel.from_pretrained(model)
    source = Source(protocol, **columns)
    report = measure(
        loaded,
        source.splits(seed),
        metric_names=metric or None,
        at=at or (),
        difficulty=cast(Any, difficulty),
        baselines=baselines,
        compare_with=[HashModel.from_pretrained(path) for path in compare or []],
        details=output is not None,
        database_codes=cast(Any, database_codes),
        asymmetric=asymmetric,
        progress=True,
    )
    _record(loaded.folder, report)
    files = report.save(output) if output is not None else []
    if as_json:
        print_json(report.to_dict())
        return
    console().print(report.table())
    facts({"written": "\n".join(map(str, files))})


def _record(folder: Path | None, report: Report) -> None:
    """Store the model's own numbers in its folder, if it has one, unless it was trained on the queries."""
    if folder is None:
        return
    if report.trained_on_queries:
        note(f"{folder} does not store these numbers")
        return
    try:
        report.record(folder)
    except PlatformError as error:
        note(f"note: {error}")
