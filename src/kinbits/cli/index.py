"""kinbits index: make, change and check an index."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits._errors import ArtefactError, DataError, UsageError
from kinbits._files import check_parent
from kinbits.cli._app import group
from kinbits.cli._output import JsonFlag, bytes_text, facts, print_json, shell, skipped_json, skipped_text
from kinbits.cli._source import DATA_HELP, ImageColumn, LabelColumn, ModalityOption, Source, TextColumn

if TYPE_CHECKING:
    import numpy as np

    from kinbits.data import Skipped
    from kinbits.index import Encoder, Index
    from kinbits.methods._base import Modality
    from kinbits.model import HashModel

index = group("index", "Make, change and check an index.")

IndexFolder = Annotated[Path, typer.Argument(metavar="INDEX", help="Folder of the index.", show_default=False)]
ModelOption = Annotated[
    Path | None,
    typer.Option(metavar="MODEL", help="Folder of the model; the index's own if not given.", show_default=False),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where", "-w", metavar="FILTER", help="E.g. label=cat, 'year>=2020'; repeat for more.", show_default=False
    ),
]
UpsertOption = Annotated[bool, typer.Option("--upsert", help="Replace items whose ids exist, instead of refusing.")]


@dataclass(frozen=True)
class _Contents:
    """What goes into an index."""

    codes: np.ndarray
    ids: np.ndarray
    columns: Mapping[str, list[Any]]
    skipped: list[Skipped]


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
    modality: ModalityOption = "image",
    as_json: JsonFlag = False,
) -> None:
    """Make an index from a model and data, or from a file of codes.

    kinbits index create INDEX MODEL DATA

    kinbits index create INDEX CODES.parquet
    """
    _check_new(folder)
    if data is None:
        maker, contents, model = _from_codes(Path(source), bits)
    else:
        if bits is not None:
            raise UsageError("--bits goes with a file of codes; a model knows its own length")
        model = Path(source)
        maker, contents = _from_data(model, Source(data, label_column, text_column, image_column), modality)
    _build(folder, maker, contents, model)
    _told(folder, len(contents.ids), len(contents.ids), contents.skipped, as_json)


@index.command()
def add(
    folder: IndexFolder,
    data: Annotated[str, typer.Argument(help=f"{DATA_HELP} Or codes from `kinbits encode`.", show_default=False)],
    model: ModelOption = None,
    upsert: UpsertOption = False,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    text_column: TextColumn = None,
    modality: ModalityOption = "image",
    as_json: JsonFlag = False,
) -> None:
    """Add a collection, or a file of codes: all of it, or nothing."""
    from kinbits.cli._codes_file import is_codes_file
    from kinbits.cli._remembered import model_of

    opened = opened_index(folder)
    if is_codes_file(Path(data)):
        maker, contents, _ = _from_codes(Path(data), opened.bits)
        opened_index(folder, _fitting(maker, opened))
    else:
        own = model_of(folder, model)
        opened = opened_index(folder, own)
        contents = _encode(own, Source(data, label_column, text_column, image_column), modality)
    with _own_words():
        opened.add(contents.codes, contents.ids, contents.columns, upsert=upsert)
    _told(folder, len(contents.ids), len(opened), contents.skipped, as_json)


@index.command()
def delete(
    folder: IndexFolder,
    ids: Annotated[list[str], typer.Argument(help="Ids as `kinbits search` shows them.", show_default=False)],
    as_json: JsonFlag = False,
) -> None:
    """Remove items by their ids: all of them, or nothing."""
    opened = opened_index(folder)
    opened.delete([_number(text) for text in ids] if opened.info()["ids"] == "int" else ids)
    if as_json:
        print_json({"index": folder, "deleted": len(ids), "items": len(opened)})
    else:
        facts({"index": folder, "deleted": f"{len(ids):,}", "items": f"{len(opened):,}"})


@index.command()
def merge(
    folder: IndexFolder,
    other: Annotated[
        Path, typer.Argument(metavar="OTHER", help="Folder of the index whose items are added.", show_default=False)
    ],
    upsert: UpsertOption = False,
    as_json: JsonFlag = False,
) -> None:
    """Add all items of another index of the same model: all of them, or nothing."""
    opened, added = opened_index(folder), opened_index(other)
    with _own_words():
        opened.merge(added, upsert=upsert)
    _told(folder, len(added), len(opened), [], as_json)


@index.command()
def info(folder: IndexFolder, as_json: JsonFlag = False) -> None:
    """Show what an index holds."""
    from kinbits.cli._remembered import remembered

    found = opened_index(folder).info()
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    found |= {"bytes": size, "model": remembered(folder)}
    if as_json:
        print_json(found)
        return
    facts(
        {
            "index": folder,
            "items": f"{found['items']:,} of {found['bits']} bits, ids are {found['ids'] or 'not given yet'}",
            "columns": ", ".join(found["columns"]) or "none",
            "on disk": f"{bytes_text(size)}; segments: {found['segments']}, deleted items: {found['deleted']:,}",
            "search tables": f"{found['tables']} of {found['segments']} segments",
            "model": found["model"] or "not known",
            "made with": found["fingerprint"],
        }
    )


@index.command()
def verify(folder: IndexFolder, as_json: JsonFlag = False) -> None:
    """Read everything and compare it with its checksums."""
    opened = opened_index(folder)
    opened.verify()
    if as_json:
        print_json({"index": folder, "items": len(opened), "ok": True})
    else:
        print(f"{folder}: {len(opened):,} items, all checksums agree")


@index.command()
def compact(folder: IndexFolder, as_json: JsonFlag = False) -> None:
    """Rewrite an index as one segment, without what was deleted."""
    opened = opened_index(folder).compact()
    if as_json:
        print_json(opened.info())
    else:
        print(f"{folder}: {len(opened):,} items in {opened.info()['segments']} segment")


@index.command()
def optimize(folder: IndexFolder, as_json: JsonFlag = False) -> None:
    """Build search tables, with which large indexes are searched many times faster."""
    opened = opened_index(folder).optimize()
    if as_json:
        print_json(opened.info())
    else:
        facts({"index": folder, "how a search for 10 goes": str(opened.explain(k=10))})


@index.command()
def pairs(
    folder: IndexFolder,
    radius: Annotated[
        int, typer.Option("--radius", "-r", min=0, help="Largest distance in bits; 0 finds equal codes.")
    ] = 0,
    where: WhereOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List all pairs of items within a radius, such as near duplicates: one line each, or one JSON object.

    A line holds two ids and their distance, with tabs between them.
    """
    for chunk in opened_index(folder).pairs(radius, where or None):
        for first, second, distance in zip(*(part.tolist() for part in chunk), strict=True):
            if as_json:
                print(json.dumps({"first": first, "second": second, "distance": distance}, ensure_ascii=False))
            else:
                print(first, second, distance, sep="\t")


def opened_index(folder: Path, model: Encoder | None = None) -> Index:
    """Open an index; a missing one is told in the words of the command line.

    Raises:
        ArtefactError: There is none, it is damaged, or made with another model.
    """
    from kinbits.index import Index

    if not (folder / "manifest.json").exists():
        raise ArtefactError(f"there is no index at {folder}; `kinbits index create` makes one")
    return Index.open(folder, model=model)


@contextmanager
def _own_words() -> Iterator[None]:
    """Tell remedies in the words of the command line."""
    try:
        yield
    except UsageError as error:
        raise UsageError(str(error).replace("pass upsert=True", "give --upsert")) from None


def _check_new(folder: Path) -> None:
    """Refuse a folder that is taken or cannot be made, before anything is computed."""
    if (folder / "manifest.json").exists():
        raise UsageError(f"an index lies at {folder} already; `kinbits index add` adds to it, or choose another folder")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is no empty folder; choose another folder for the index")
    check_parent(folder, "folder")


def _from_codes(path: Path, bits: int | None) -> tuple[_Maker | int, _Contents, Path | None]:
    """Read a file of codes; return who made them (or the bare length), what they are, and the model's folder."""
    from kinbits.cli._codes_file import code_length, is_codes_file, read_codes

    if not is_codes_file(path):
        raise UsageError(f"{path} is no file of codes; give MODEL and DATA, or a file that `kinbits encode` wrote")
    found = read_codes(path)
    length = code_length(found, path, bits)
    contents = _Contents(found.codes, found.ids, found.columns, [])
    if "fingerprint" not in found.facts:
        return length, contents, None
    return _Maker(length, found.facts["fingerprint"]), contents, Path(found.facts.get("model", path.parent))


def _fitting(maker: _Maker | int, opened: Any) -> _Maker | None:
    """Return what the index compares its own model with; only the length counts for codes of unknown origin."""
    if isinstance(maker, _Maker):
        return maker
    if maker != opened.bits:
        raise ArtefactError(f"the codes have {maker} bits, the index holds {opened.bits}-bit codes")
    return None


def _from_data(model: Path, source: Source, modality: Modality) -> tuple[_Maker, _Contents]:
    from kinbits.model import HashModel

    loaded = HashModel.load(model)
    return _Maker(loaded.bits, loaded.fingerprint), _encode(loaded, source, modality)


def _encode(model: HashModel, source: Source, modality: Modality) -> _Contents:
    from kinbits.cli._encoding import collect, encoded

    dataset = source.open("database")
    codes, ids, columns, skipped = collect(encoded(model, dataset, modality=modality))
    if not len(ids):
        raise DataError(f"{dataset.name}: no {modality} can be read ({skipped[0].id}: {skipped[0].reason})")
    return _Contents(codes, ids, columns, [*dataset.skipped, *skipped])


def _build(folder: Path, maker: _Maker | int, contents: _Contents, model: Path | None) -> None:
    """Make the whole index aside, then move it into its place: a killed run leaves no half index there."""
    from kinbits.cli._remembered import remember
    from kinbits.index import Index

    aside = folder.parent / f".{folder.name}.part"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        made = Index.create(aside, bits=maker) if isinstance(maker, int) else Index.create(aside, model=maker)
        made.add(contents.codes, contents.ids, contents.columns)
        if model is not None:
            remember(aside, model)
        aside.replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _told(folder: Path, added: int, items: int, skipped: list[Skipped], as_json: bool) -> None:
    from kinbits.cli._remembered import reads_text

    if as_json:
        print_json({"index": folder, "added": added, "items": items, "skipped": skipped_json(skipped)})
        return
    facts(
        {
            "index": folder,
            "added": f"{added:,}",
            "items": f"{items:,}",
            "skipped": skipped_text(skipped),
            "next": f"{shell('kinbits', 'search', folder)} IMAGE{' (or --text WORDS)' if reads_text(folder) else ''}",
        }
    )


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"this index has whole numbers as ids, '{text}' is none") from None
