"""kinbits tune: find the method and the recipe that suit a collection."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kinbits.cli.app import app
from kinbits.cli.fit_report import record, show
from kinbits.cli.flags import Flags
from kinbits.cli.index_options import duration
from kinbits.cli.messages import started
from kinbits.cli.output import JsonFlag, note, print_json
from kinbits.cli.output import show as print_text
from kinbits.cli.source import DATA_HELP, IdColumn, ImageColumn, LabelColumn, NoLabels, Source, TextColumn
from kinbits.cli.values import expansion_params
from kinbits.fitting import FitSettings
from kinbits.tuning import DECIDED

FLAGS = Flags(
    FitSettings, but=("cache", "checkpoints", "resume", "progress", "validation", "pretrain_epochs", *DECIDED)
)


def _budget(text: str | float) -> float:
    return math.inf if str(text).lower() == "none" else duration(text)


@app.command()
@FLAGS.add_after("validation")
def tune(
    data: Annotated[str, typer.Argument(help=DATA_HELP, show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="MODEL", help="Folder of the best model.", show_default=False)
    ],
    budget: Annotated[
        float,
        typer.Option(
            metavar="TIME", parser=_budget, help="Time for everything: 90s, 10m, 2h or none. The last run may end late."
        ),
    ] = "10m",  # type: ignore[assignment]
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...", help="Methods to try, names or .py files. Default: all that suit.", show_default=False
        ),
    ] = None,
    search: Annotated[
        Literal["image", "text"], typer.Option(help="Score searches among images, or between images and texts.")
    ] = "image",
    validation: Annotated[float, typer.Option(metavar="X", help="Share of images held out to score candidates.")] = 0.2,
    force: Annotated[bool, typer.Option("--force", help="Replace a model. Its indexes no longer fit.")] = False,
    as_json: JsonFlag = False,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    text_column: TextColumn = None,
    id_column: IdColumn = None,
    no_labels: NoLabels = False,
    **options: Any,
) -> None:
    """Try methods on a collection, and save the best model.

    Example: kinbits tune photos -o photos-64 --budget 10m
    """
    from kinbits.model import check_target
    from kinbits.tuning import tune as search_best

    check_target(output, replace=force)
    given = FLAGS.read(options)
    mappings = {name: given.pop(name) for name in FLAGS.mappings & given.keys()}
    settings = FitSettings().with_options(**given, **expansion_params(given, mappings), validation=validation)
    source = Source(data, label_column, text_column, image_column, id_column, no_labels)
    dataset = source.open("train")
    names = None if methods is None else [name.strip() for name in methods.split(",")]
    limit = None if math.isinf(budget) else budget
    result = search_best(dataset, settings, budget=limit, methods=names, search=search, started=started())
    if result.interrupted:
        note("interrupted; the best model so far is saved")
    result.model.save_pretrained(output)
    if as_json:
        print_json(record(result.model, output, dataset) | {"tuning": result.model.training["tuning"]})
        return
    print_text(result)
    show(result.model, output, dataset, source)
