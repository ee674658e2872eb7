"""kinbits index: make, change and check an index."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kinbits.cli.index_options import (
    IndexFolder,
    ModelOption,
    UpsertOption,
    WaitOption,
    index,
    opened_index,
    query_hint,
    required_model,
)
from kinbits.cli.models import MODEL_HELP, note_low_quality_of
from kinbits.cli.output import JsonFlag, facts, note, print_json, shell, skipped_json, skipped_text
from kinbits.cli.source import COLUMNS, DATA_HELP, ModalityOption, Source
from kinbits.errors import ArtefactError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kinbits._util import Modality
    from kinbits.data import LeftOut, Skipped
    from kinbits.encoding import CodesFile
    from kinbits.index import Index
    from kinbits.model import HashModel


@index.command()
@COLUMNS.add_after("bits")
def create(
    folder: IndexFolder,
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|CODES|DATA",
            help=f"{MODEL_HELP} Or codes from `kinbits encode`. Or DATA, for the model inside the package.",
            show_default=False,
        ),
    ],
    data: Annotated[
        str | None, typer.Argument(help=f"{DATA_HELP} Left out with codes, and without MODEL.", show_default=False)
    ] = None,
    bits: Annotated[
        int | None, typer.Option(help="Code length, for codes that kinbits did not write.", show_default=False)
    ] = None,
    modality: ModalityOption = "image",
    keep: Annotated[
        Literal["int8", "float16", "float32"] | None,
        typer.Option(help="Keep the features beside the codes, for `kinbits search --rescore`.", show_default=False),
    ] = None,
    metric: Annotated[
        Literal["cosine", "inner", "euclidean"] | None,
        typer.Option(help="What kept features are compared by. Default: as codes, or cosine.", show_default=False),
    ] = None,
    concepts: Annotated[
        bool | None,
        typer.Option(
            "--concepts/--no-concepts",
            help="Keep the likeliest classes of each image, so that words find images. Default: if the backbone is a "
            "published EfficientNet-Lite.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonFlag = False,
    **columns: Any,
) -> None:
    """Make an index from data, with your own model or the one inside the package; or from a file of codes.

    kinbits index create INDEX PHOTOS

    kinbits index create INDEX MODEL DATA

    kinbits index create INDEX CODES.parquet
    """
    from kinbits.index import Index, check_new_folder
    from kinbits.model import HashModel

    check_new_folder(folder)
    if data is None and not _holds_codes(source):
        source, data = _general_model(source), source
    vectors = left_out = None
    if data is None and keep is not None:
        raise UsageError("--keep takes the features of MODEL and DATA; a file of codes has none")
    if data is None and concepts:
        raise UsageError("--concepts takes the images of MODEL and DATA; a file of codes has none")
    if metric is not None and keep is None:
        raise UsageError("--metric is of kept features; give --keep too, or leave it out")
    if data is None:
        codes = _read(Path(os.path.expanduser(source)))
    elif bits is not None:
        raise UsageError("--bits goes with a file of codes; a model knows its own length")
    else:
        model = HashModel.from_pretrained(Path(os.path.expanduser(source)))
        named = Source(data, **columns)
        codes, vectors, left_out = _encode(model, named, modality, concepts, featured=keep is not None)
        metric = metric or (model.tower().head.features_metric if keep else None)
    made = Index.create(folder, codes, bits=bits, keep=keep, metric=metric, vectors=vectors)
    _show_change(folder, made, codes.skipped, as_json, left_out)


@index.command()
@COLUMNS.add_after("upsert")
def add(
    folder: IndexFolder,
    data: Annotated[str, typer.Argument(help=f"{DATA_HELP} Or codes from `kinbits encode`.", show_default=False)],
    model: ModelOption = None,
    upsert: UpsertOption = False,
    modality: ModalityOption = "image",
    wait: WaitOption = 0.0,
    as_json: JsonFlag = False,
    **columns: Any,
) -> None:
    """Add a collection, or a file of codes: all of it, or nothing."""
    from kinbits.encoding import is_codes_file

    path = Path(os.path.expanduser(data))
    opened = opened_index(folder, model, wait)
    vectors = left_out = None
    if is_codes_file(path):
        codes = _read(path)
    else:
        named = Source(data, **columns)
        featured = opened.info().get("keep") is not None
        concepts = None if opened.info().get("concepts") else False
        codes, vectors, left_out = _encode(required_model(opened), named, modality, concepts, featured=featured)
    more: dict[str, Any] = {} if vectors is None else {"vectors": vectors}  # engines keep none
    opened.add(codes, upsert=upsert, **more)
    _show_change(folder, opened, codes.skipped, as_json, left_out)


@index.command()
def merge(
    folder: IndexFolder,
    other: Annotated[
        Path, typer.Argument(metavar="OTHER", help="Folder of the index whose items are added.", show_default=False)
    ],
    upsert: UpsertOption = False,
    wait: WaitOption = 0.0,
    as_json: JsonFlag = False,
) -> None:
    """Add all items of another index of the same model: all of them, or nothing."""
    opened = opened_index(folder, wait=wait).merge(opened_index(other), upsert=upsert)
    _show_change(folder, opened, (), as_json)


def _holds_codes(source: str) -> bool:
    from kinbits.encoding import is_codes_file

    return is_codes_file(Path(os.path.expanduser(source)))


def _general_model(data: str) -> str:
    """Return the model for data that are given without one, and say which it is.

    Raises:
        UsageError: If the data are a model.
    """
    from kinbits.model import GENERAL_MODEL, describe_model

    with suppress(ArtefactError):
        describe_model(os.path.expanduser(data))
        raise UsageError(f"{data} is a model; name the data too: kinbits index create INDEX {shell(data)} DATA")
    note(f"model: {GENERAL_MODEL}, for photos of any kind; one fitted on your own collection ranks better")
    return GENERAL_MODEL


def _read(path: Path) -> CodesFile:
    from kinbits.encoding import read_codes

    found = read_codes(path)
    # what was skipped was shown when they were encoded, but for signals of other kinds
    return replace(found, skipped=()) if path.suffix == ".parquet" else found


def _encode(
    model: HashModel, source: Source, modality: Modality, concepts: bool | None, *, featured: bool
) -> tuple[CodesFile, NDArray[np.float32] | None, LeftOut]:
    """Return the codes of a collection; if asked for, the features of the same rows; and what was left out."""
    from kinbits.encoding import default_cache, encode_collection

    if featured and modality == "text":
        raise UsageError("an index keeps features of images or vectors; leave --modality text or --keep out")
    dataset = source.open("database")
    cache = default_cache(dataset) if modality == "image" else None
    codes = encode_collection(model, dataset, modality=modality, cache=cache, progress=True, concepts=concepts)
    note_low_quality_of(codes)
    if not featured:
        return codes, None, dataset.left_out
    return codes, model.encode(dataset, output="features", on_error="skip", cache=cache).array, dataset.left_out


def _show_change(
    folder: Path, opened: Index, skipped: Sequence[Skipped], as_json: bool, left_out: LeftOut | None = None
) -> None:
    change = opened.last_change
    assert change is not None  # every caller has just changed it
    if as_json:
        counts = {"added": change.added, "replaced": change.replaced, "items": len(opened)}
        found = {} if left_out is None else {"left_out": left_out.to_dict()}
        print_json({"index": folder, **counts, "skipped": skipped_json(skipped), **found})
        return
    facts(
        {
            "index": folder,
            "added": f"{change.added:,}" if change.added or not change.replaced else None,
            "replaced": f"{change.replaced:,}" if change.replaced else None,
            "items": f"{len(opened):,}",
            "skipped": skipped_text(skipped),
            "next": f"{shell('kinbits', 'search', folder)} {query_hint(opened)}",
        }
    )


from kinbits.cli import index_changes, index_migrate, index_sync, index_upkeep  # noqa: E402, F401  importing registers their commands
