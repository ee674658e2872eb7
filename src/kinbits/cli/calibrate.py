"""kinbits calibrate: a model's thresholds moved to another collection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, facts, print_json
from kinbits.cli.source import COLUMNS, DATA_HELP, Source


@app.command()
@COLUMNS.add_after("as_json")
def calibrate(
    model: Annotated[Path, typer.Argument(help="Folder of a model.", show_default=False)],
    data: Annotated[str, typer.Argument(help=DATA_HELP, show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="MODEL", help="Folder of the new model.")],
    statistic: Annotated[Literal["mean", "median"], typer.Option(help="What each bit is centred on.")] = "mean",
    as_json: JsonFlag = False,
    **columns: Any,
) -> None:
    """Adapt a model's thresholds to another collection.

    Codes of a collection unlike the training data lose balance; here every
    bit is centred on the collection again. The result is a new model: its
    codes cannot be compared with those of the old one.
    """
    from kinbits.model import HashModel, check_target

    check_target(output)
    loaded = HashModel.from_pretrained(model)
    loaded.calibrate(Source(data, **columns).open("database"), statistic=statistic)
    loaded.save_pretrained(output)
    if as_json:
        print_json({"model": output, "fingerprint": loaded.fingerprint})
        return
    facts(
        {
            "model": output,
            "fingerprint": loaded.fingerprint,
            "note": "indexes of the old model do not fit; make new ones",
        }
    )
