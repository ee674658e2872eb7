"""kinbits evaluate: numbers for a model, with baselines beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from kinbits._util import write_text
from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, console, facts, note, print_json, warn
from kinbits.cli.source import PARTS, IdColumn, ImageColumn, LabelColumn, NoLabels, Source, TextColumn, writable_folder
from kinbits.errors import PlatformError

if TYPE_CHECKING:
    from kinbits.data import Dataset, Splits
    from kinbits.evaluation import Report
    from kinbits.model import HashModel

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
    beside: Annotated[
        list[Path] | None,
        typer.Option("--beside", metavar="MODEL", help="Another model to compare with; repeat for more."),
    ] = None,
    baselines: Annotated[bool, typer.Option("--baselines/--no-baselines", help="Training-free methods beside.")] = True,
    database_codes: Annotated[
        str,
        typer.Option(
            help="`encoded`, or `learned`: as training gave them to its own images (adsh, exchnet).", metavar="CODES"
        ),
    ] = "encoded",
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
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
    splits = source.splits(seed)
    others = [HashModel.from_pretrained(path) for path in beside or []]
    models = zip([model, *(beside or [])], [loaded, *others], strict=True)
    leaks = {path: leak for path, one in models if (leak := _leak(path, one, source, splits))}
    for leak in leaks.values():
        warn(leak)
    report = measure(
        loaded,
        splits,
        metric_names=metric or None,
        at=at or (),
        difficulty=cast(Any, difficulty),
        baselines=baselines,
        beside=others,
        details=output is not None,
        database_codes=cast(Any, database_codes),
        progress=True,
    )
    report = replace(report, notes=[*report.notes, *leaks.values()])
    if model in leaks:  # a card or a radius for searches must not rest on what the model has seen
        note(f"{model} does not keep these numbers")
    else:
        _record(model, report)
    files = write_report(report, output) if output is not None else []
    if as_json:
        print_json(report.to_dict())
        return
    console().print(report.tables())
    facts({"written": "\n".join(map(str, files))})


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write the report as JSON, page and curves; each appears complete or not at all."""
    write_text(folder / REPORT, report.to_json() + "\n")
    report.html(folder / PAGE)
    report.plot(folder / CURVES)
    return [folder / PAGE, folder / REPORT, folder / CURVES]


def _leak(path: Path, model: HashModel, source: Source, splits: Splits) -> str:
    """Return a warning where a model has learned from the queries, so that its numbers are too good; else nothing."""
    if splits.protocol.name != "folder" or _learned(model, splits.train):
        return ""
    whole = _whole(source)
    told = f"all of {whole.name}, the queries among them" if _learned(model, whole.open("database")) else ""
    if not told and _learned(model, splits.query):
        told = "the queries"
    if not told and splits.protocol.seed and _learned(model, whole.splits(0).train):
        told = f"the training part of seed 0, which holds queries of seed {splits.protocol.seed}"
    if not told:
        return ""
    advice = f"fit on folder:{whole.name} and evaluate with seed 0"
    return f"{path} was trained on {told}, so its numbers are too good; {advice}"


def _learned(model: HashModel, part: Dataset) -> bool:
    """Whether a model was trained on exactly these images, with whatever texts; older records know both together."""
    own = model.training
    return own.get("images_fingerprint") == part.items.fingerprint or own.get("data_fingerprint") == part.fingerprint


def _whole(source: Source) -> Source:
    """Return the source that `folder:PATH` splits."""
    if not source.name.startswith("folder:"):
        return source
    name = source.name.removeprefix("folder:")
    stem, _, last = name.rpartition(":")
    return replace(source, name=stem if last in PARTS else name)


def _record(folder: Path, report: Report) -> None:
    """Keep the model's own numbers in its folder, where it can be written."""
    try:
        report.record(folder)
    except PlatformError as error:
        note(f"note: {error}")
