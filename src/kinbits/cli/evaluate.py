"""kinbits evaluate: numbers for a model and for baselines on the same features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from kinbits._util import write_text
from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, console, facts, note, print_json
from kinbits.cli.source import IdColumn, ImageColumn, LabelColumn, NoLabels, Source, TextColumn, writable_folder
from kinbits.errors import PlatformError

if TYPE_CHECKING:
    from kinbits.evaluation import Report

REPORT, PAGE, CURVES = "report.json", "report.html", "pr-curves.png"


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder of a model.", show_default=False)],
    protocol: Annotated[
        str,
        typer.Argument(help="See `kinbits protocols`; or data, which are split by seed.", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help=f"Write {REPORT}, {PAGE} and {CURVES} here.", show_default=False
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="E.g. map@all, precision@r2; repeat for more. Else those of the protocol.",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            metavar="TARGET",
            help="Find the radius that reaches e.g. precision=0.95 or recall=0.9; repeat for more.",
            show_default=False,
        ),
    ] = None,
    difficulty: Annotated[
        str | None,
        typer.Option(
            help="`easy`, `medium` or `hard`, of revisited Oxford and Paris; else medium.",
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
            help="`encoded`, or `learned`: as training gave them to its own images (adsh, exchnet).", metavar="CODES"
        ),
    ] = "encoded",
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    label_column: LabelColumn = None,
    text_column: TextColumn = None,
    id_column: IdColumn = None,
    no_labels: NoLabels = False,
    image_column: ImageColumn = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure a model on a protocol.

    Ties in distance count with their expected value. For your own labelled
    folder, fit on `folder:PATH`, which leaves the queries out, and evaluate
    on `folder:PATH`. With captions and without labels, an image is to find
    its own text, and a text its image. `--at` chooses a radius on half of
    the queries and measures it on the others; the model remembers it.
    """
    from kinbits.evaluation import evaluate as measure
    from kinbits.model import HashModel

    if output is not None:
        writable_folder(output)
    loaded = HashModel.from_pretrained(model)
    source = Source(protocol, label_column, text_column, image_column, id_column, no_labels)
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
        progress=True,
    )
    _record(model, report)
    files = write_report(report, output) if output is not None else []
    if as_json:
        print_json(report.to_dict())
        return
    console().print(report.table())
    facts({"written": "\n".join(map(str, files))})


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write the report as JSON, page and curves; each appears complete or not at all."""
    write_text(folder / REPORT, report.to_json() + "\n")
    report.html(folder / PAGE)
    report.plot(folder / CURVES)
    return [folder / PAGE, folder / REPORT, folder / CURVES]


def _record(folder: Path, report: Report) -> None:
    """Keep the model's own numbers in its folder, where they may be kept and it can be written."""
    if report.trained_on_queries:
        note(f"{folder} does not keep these numbers")
        return
    try:
        report.record(folder)
    except PlatformError as error:
        note(f"note: {error}")
