"""kinbits serve: indexes over HTTP."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from kinbits.cli.app import app
from kinbits.cli.flags import Flags
from kinbits.cli.index_options import require_index
from kinbits.cli.output import note
from kinbits.errors import UsageError
from kinbits.serving import ServeSettings, named

FLAGS = Flags(ServeSettings, but=())
PREFIX = "KINBITS_SERVE_"


@app.command()
@FLAGS.add_after("config")
def serve(
    indexes: Annotated[
        list[str],
        typer.Argument(metavar="INDEX...", help="Folders of indexes; NAME=FOLDER names one.", show_default=False),
    ],
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Model of the indexes. Default: the indexes' own.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE.yaml", help="File with these options.", show_default=False),
    ] = None,
    **options: Any,
) -> None:
    """Serve indexes over HTTP, for programs and other machines.

    Example: kinbits serve photos.index

    Only this machine can ask, unless --host names another address. Indexes are
    read-only, unless --write-token-file is given. Changes of their folders
    are followed. GET /v1/openapi.json describes the interface.

    Each option is also a key of --config FILE.yaml and a variable of the
    environment, such as KINBITS_SERVE_MAX_K=100. Flags count first, then
    variables, then the file.
    """
    from kinbits.serving import serve as run  # loads the server, which help does not need

    given = {} if config is None else FLAGS.read_file(config, {})
    given |= _of_environment(os.environ)
    given |= FLAGS.read(options)
    settings = ServeSettings(**given)
    if settings.open_to_strangers:
        note(f"warning: everybody who reaches {settings.host} can search, and see the images: no token is needed")
    folders = _named(indexes)
    for folder in folders.values():
        require_index(folder)
    run(folders, settings, model=model, told=lambda address: note(f"serving at {address}"))


def _named(indexes: list[str]) -> Mapping[str, Path]:
    """Return folders by the names that are given, or by their own."""
    if not any("=" in one and not Path(one).expanduser().exists() for one in indexes):
        return named([Path(one).expanduser() for one in indexes])
    found: dict[str, Path] = {}
    for one in indexes:
        name, equals, folder = one.partition("=")
        if not equals or not name or name in found:
            raise UsageError(f"{one}: give every index a name of its own: NAME=FOLDER")
        found[name] = Path(folder).expanduser()
    return found


def _of_environment(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that variables of the environment give; several values are separated by commas."""
    given: dict[str, Any] = {}
    for name, option in FLAGS.options.items():
        text = variables.get(PREFIX + name.upper())
        if text:
            given[name] = text.split(",") if option.repeated else FLAGS.read({name: text})[name]
    for name in variables:
        if name.startswith(PREFIX) and name.removeprefix(PREFIX).lower() not in FLAGS.options:
            raise UsageError(f"{name} is no option of serve; see kinbits serve --help")
    return given
