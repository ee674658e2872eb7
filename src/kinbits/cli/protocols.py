"""kinbits protocols: what is compared with what."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from kinbits.cli._app import app
from kinbits.cli._output import JsonFlag, console, print_json, table
from kinbits.cli._source import Source


@app.command()
def protocols(
    name: Annotated[
        str | None, typer.Argument(help="One protocol, with its data opened and checked.", show_default=False)
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List what is compared with what, or open one protocol."""
    from kinbits.data import protocols as known

    if name is not None:
        splits = Source(name).splits(seed=0)
        if as_json:
            print_json(asdict(splits.protocol))
        else:
            print(splits.describe())
        return
    if as_json:
        print_json(known())
        return
    console().print(table(["protocol", "split"], known().items()))
    print("`kinbits protocols NAME` opens one and checks its data; `folder:PATH` splits your own.")
