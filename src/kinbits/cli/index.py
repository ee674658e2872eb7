"""kinbits index: make, change and check an index."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits._util import check_parent, folder_aside, full_path
from kinbits.cli.index_options import IndexFolder, ModelOption, UpsertOption, WaitOption, index, opened_index
from kinbits.cli.output import JsonFlag, facts, print_json, shell, skipped_json, skipped_text
from kinbits.cli.source import (
    DATA_HELP,
    IdColumn,
    ImageColumn,
    LabelColumn,
    ModalityOption,
    NoLabels,
    Source,
    TextColumn,
)
from kinbits.errors import ArtefactError, DataError, PlatformError, UsageError, platform_error

if TYPE_CHECKING:
    import numpy as np

    from kinbits._util import Modality
    from kinbits.data import Skipped
    from kinbits.index import Index
    from kinbits.model import HashModel


@dataclass(frozen=True)
class _Contents:
    """What goes into an index; ``root`` is the folder that ids which are paths of images start from."""

    codes: np.ndarray
    ids: np.ndarray
    columns: Mapping[str, list[Any]]
    skipped: list[Skipped]
    root: Path | None = None


@dataclass(frozen=True)
class _Maker:
    """Stands for the model where only its codes are at hand: bits and fingerprint, no encoding."""

    bits: int
    fingerprint: str

    def encode(self, items: Any, /) -> Any:
        """Refuse."""
        raise UsageError("only codes are at hand, no model to encode with")


@index.command()
def create(
    folder: IndexFolder,
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|CODES", help="Folder of a model, or codes from `kinbits encode`.", show_default=False
        ),
    ],
    data: Annotated[str | None, typer.Argument(help=f"{DATA_HELP} Left out with codes.", show_default=False)] = None,
    bits: Annotated[
        int | None, typer.Option(help="Code length, for codes that kinbits did not write.", show_default=False)
    ] = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    text_column: TextColumn = None,
    id_column: IdColumn = None,
    no_labels: NoLabels = False,
    modality: ModalityOption = "image",
    as_json: JsonFlag = False,
) -> None:
    """Make an index from a model and data, or from a file of codes.

    kinbits index create INDEX MODEL DATA

    kinbits index create INDEX CODES.parquet
    """
    _check_new(folder)
    if data is None:
        maker, contents, model = _from_codes(Path(os.path.expanduser(source)), bits)
    else:
        if bits is not None:
            raise UsageError("--bits goes with a file of codes; a model knows its own length")
        model = Path(os.path.expanduser(source))
        maker, contents = _from_data(
            model, Source(data, label_column, text_column, image_column, id_column, no_labels), modality
        )
    _told(folder, _build(folder, maker, contents, model), contents.skipped, as_json)


@index.command()
def add(
    folder: IndexFolder,
    data: Annotated[str, typer.Argument(help=f"{DATA_HELP} Or codes from `kinbits encode`.", show_default=False)],
    model: ModelOption = None,
    upsert: UpsertOption = False,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    text_column: TextColumn = None,
    id_column: IdColumn = None,
    no_labels: NoLabels = False,
    modality: ModalityOption = "image",
    wait: WaitOption = 0.0,
    as_json: JsonFlag = False,
) -> None:
    """Add a collection, or a file of codes: all of it, or nothing."""
    from kinbits.cli.codes_file import is_codes_file
    from kinbits.cli.remembered import model_of, remember

    opened, path = opened_index(folder, wait=wait), Path(os.path.expanduser(data))
    if is_codes_file(path):
        maker, contents, _ = _from_codes(path, opened.bits)
        opened_index(folder, _fitting(maker, opened))
    else:
        own = model_of(folder, model)
        opened = opened_index(folder, own, wait)
        contents = _encode(own, Source(data, label_column, text_column, image_column, id_column, no_labels), modality)
    opened.add(contents.codes, contents.ids, contents.columns, upsert=upsert)
    remember(folder, root=contents.root)
    _told(folder, opened, contents.skipped, as_json)


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
    from kinbits.cli.remembered import remember, roots

    opened, added = opened_index(folder, wait=wait), opened_index(other)
    opened.merge(added, upsert=upsert)
    for root in roots(other):
        remember(folder, root=root)
    _told(folder, opened, [], as_json)


def _check_new(folder: Path) -> None:
    """Refuse a folder that is taken or cannot be made, before anything is computed."""
    if (folder / "manifest.json").exists():
        raise _taken(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is no empty folder; choose another folder for the index")
    check_parent(Path(os.path.realpath(folder)), "folder")


def _taken(folder: Path) -> UsageError:
    return UsageError(f"an index lies at {folder} already; `kinbits index add` adds to it, or choose another folder")


def _from_codes(path: Path, bits: int | None) -> tuple[_Maker | int, _Contents, Path | None]:
    """Read a file of codes; return who made them (or the bare length), what they are, and the model's folder."""
    from kinbits.cli.codes_file import code_length, is_codes_file, read_codes

    if not is_codes_file(path):
        raise UsageError(f"{path} is no file of codes; give MODEL and DATA, or a file that `kinbits encode` wrote")
    found = read_codes(path)
    length = code_length(found, path, bits)
    root = found.facts.get("root")
    contents = _Contents(found.codes, found.ids, found.columns, [], Path(root) if isinstance(root, str) else None)
    if "fingerprint" not in found.facts:
        return length, contents, None
    return _Maker(length, str(found.facts["fingerprint"])), contents, Path(str(found.facts.get("model", path.parent)))


def _fitting(maker: _Maker | int, opened: Any) -> _Maker | None:
    """Return what the index compares its own model with; only the length counts for codes of unknown origin."""
    if isinstance(maker, _Maker):
        return maker
    if maker != opened.bits:
        raise ArtefactError(f"the codes have {maker} bits, the index holds {opened.bits}-bit codes")
    return None


def _from_data(model: Path, source: Source, modality: Modality) -> tuple[_Maker, _Contents]:
    from kinbits.model import HashModel

    loaded = HashModel.from_pretrained(model)
    return _Maker(loaded.bits, loaded.fingerprint), _encode(loaded, source, modality)


def _encode(model: HashModel, source: Source, modality: Modality) -> _Contents:
    from kinbits.cli.encoding import collect, encoded

    dataset = source.open("database")
    codes, ids, columns, skipped = collect(encoded(model, dataset, modality=modality))
    if not len(ids):
        raise DataError(f"{dataset.name}: no {modality} can be read ({skipped[0].id}: {skipped[0].reason})")
    return _Contents(codes, ids, columns, [*dataset.skipped, *skipped], source.root)


def _build(folder: Path, maker: _Maker | int, contents: _Contents, model: Path | None) -> Index:
    """Make the whole index aside, then move it into its place: nobody sees half of it, and the first of two wins."""
    from kinbits.cli.remembered import remember
    from kinbits.index import Index

    try:
        with folder_aside(full_path(folder)) as aside:
            made = Index.create(aside, bits=maker) if isinstance(maker, int) else Index.create(aside, model=maker)
            made.add(contents.codes, contents.ids, contents.columns)
            remember(aside, model, contents.root)
    except FileExistsError:
        raise _taken(folder) from None
    except PlatformError:
        raise
    except OSError as error:
        raise platform_error(f"{folder} cannot be written", error) from None
    return made


def _told(folder: Path, opened: Index, skipped: list[Skipped], as_json: bool) -> None:
    from kinbits.cli.remembered import reads_text

    change = opened.last_change
    assert change is not None  # every caller has just changed it
    if as_json:
        counts = {"added": change.added, "replaced": change.replaced, "items": len(opened)}
        print_json({"index": folder, **counts, "skipped": skipped_json(skipped)})
        return
    facts(
        {
            "index": folder,
            "added": f"{change.added:,}" if change.added or not change.replaced else None,
            "replaced": f"{change.replaced:,}" if change.replaced else None,
            "items": f"{len(opened):,}",
            "skipped": skipped_text(skipped),
            "next": f"{shell('kinbits', 'search', folder)} IMAGE{' (or --text WORDS)' if reads_text(folder) else ''}",
        }
    )


from kinbits.cli import index_changes, index_upkeep  # noqa: E402, F401  importing registers their commands
