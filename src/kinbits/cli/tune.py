"""kinbits tune: find the method and the recipe that suit a collection."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import typer

from kinbits._util import full_path, locked_output, write_text
from kinbits.cli.app import app
from kinbits.cli.fit_report import record, show
from kinbits.cli.flags import Flags
from kinbits.cli.index_options import duration
from kinbits.cli.messages import started
from kinbits.cli.output import JsonFlag, json_text, note, print_json, warn
from kinbits.cli.output import show as print_text
from kinbits.cli.source import COLUMNS, DATA_HELP, Source, columns_of
from kinbits.cli.values import params_of_parts
from kinbits.errors import PlatformError
from kinbits.fitting import FitSettings
from kinbits.tuning import DECIDED

if TYPE_CHECKING:
    from kinbits.tuning import Leaderboard

FLAGS = Flags(
    FitSettings, but=("cache", "checkpoints", "resume", "progress", "validation", "pretrain_epochs", *DECIDED)
)


def _budget(text: str | float) -> float:
    return math.inf if str(text).lower() == "none" else duration(text)


@app.command()
@FLAGS.add_after("validation")
@COLUMNS.add_after("as_json")
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
    **options: Any,
) -> None:
    """Try methods on a collection, and save the best model.

    Example: kinbits tune photos -o photos-64 --budget 10m
    """
    from kinbits.model import check_target
    from kinbits.tuning import tune as search_best

    given = FLAGS.read(options)
    mappings = {name: given.pop(name) for name in FLAGS.mappings & given.keys()}
    settings = FitSettings().with_options(**given, **params_of_parts(given, mappings))
    source = Source(data, **columns_of(options))
    names = None if methods is None else [name.strip() for name in methods.split(",")]
    limit = None if math.isinf(budget) else budget
    kept = _KeptBoard(output, note if as_json else print_text)
    with locked_output(output, "output folder"), kept:
        check_target(output, replace=force)
        dataset = source.open("train")
        model = search_best(
            dataset,
            settings,
            budget=limit,
            methods=names,
            search=search,
            started=started(),
            report=kept.report,
            validation=validation,
        ).model
        model.save_pretrained(output)
    if as_json:
        print_json(record(model, output, dataset) | {"tuning": model.training["tuning"]})
    else:
        show(model, output, dataset, source)


class _KeptBoard:
    """The leaderboard, shown at once, and kept in a file until the model that holds it is saved."""

    def __init__(self, output: Path, show: Callable[[str], None]) -> None:
        whole = full_path(output)  # "." has no name
        self.path, self.show, self.written = whole.with_name(f"{whole.name}.leaderboard.json"), show, False

    def report(self, board: Leaderboard) -> None:
        self.show(str(board))
        if board.interrupted:
            note("interrupted; the best so far is fitted to all rows and saved, and Ctrl-C ends this too")
        try:
            write_text(self.path, json_text(board.record(), indent=2) + "\n")
            self.written = True
        except PlatformError as error:  # the search need not be lost with its file
            warn(str(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self.written:
            return
        if kind is None:
            self.path.unlink(missing_ok=True)
        else:
            note(f"no model is saved; the leaderboard is in {self.path}")
