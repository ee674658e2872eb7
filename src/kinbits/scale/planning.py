"""The plan of a run: which blocks the input has, in an order that does not change, and what identifies the input."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from kinbits._util import Modality, full_path
from kinbits.data import EXTENSIONS, Dataset, PathItems, open_dataset
from kinbits.encoding import metadata_types, open_collection
from kinbits.errors import DataError, UsageError
from kinbits.scale.blocks import Block, ImagesBlock, RowsBlock
from kinbits.scale.places import ListedFile, Place, is_uri
from kinbits.scale.tables import TableRoles, holds_paths, plan_tables
from kinbits.scale.tars import ENDINGS, TarBlock, is_tar, stem_of

_TABLES = ".parquet", ".pq"
_READERS = 16


@dataclass(frozen=True)
class Plan:
    """The blocks of the input.

    Attributes:
        name: Name of the input in messages.
        count: Number of blocks.
        block: Makes the block of a number, from 0.
        identity: SHA-256 (hex) of names, sizes and times of change of the files, or of the contents.
        items: Number of items; None if it is known only when they are read.
        root: Folder that paths among ids and metadata start from; None if there is none.
        types: Types of the metadata of all blocks, by name, as `encoding.metadata_types` returns them; None if they are
            known only when the blocks are read.
    """

    name: str
    count: int
    block: Callable[[int], Block]
    identity: str
    items: int | None
    root: Path | None = None
    types: Mapping[str, Any] | None = None


def is_sharded(data: Any) -> bool:
    """Tell whether data are read by the workers: a URI, a tar file, or a local folder that holds tar files.

    Everything else is opened by `kinbits.open_dataset` in the process that starts the run.
    """
    if is_uri(data):
        return True
    if not isinstance(data, (str, os.PathLike)):
        return False
    path = full_path(data)
    if path.is_dir():
        names = [entry.name for entry in os.scandir(path) if not entry.name.startswith(".")]
        images = any(os.path.splitext(name)[1].lower() in EXTENSIONS for name in names)
        return not images and any(map(is_tar, names))
    return is_tar(path.name) and path.is_file()


def require_outside(data: Any, output: str) -> None:
    """Check that the output is not in the folder that is read, where another run would read it again.

    Raises:
        UsageError: If it is.
    """
    if not isinstance(data, (str, os.PathLike)):
        return
    read, written = (_normal_path(os.fspath(one)) for one in (data, output))
    if f"{written}/".startswith(f"{read.rstrip('/')}/"):
        raise UsageError(f"the output {output} is inside the input {os.fspath(data)}; choose an output outside it")


def _normal_path(address: str) -> str:
    """Return an address by which folders are compared: local ones as paths, without links."""
    if not is_uri(address):
        return os.path.realpath(full_path(address))
    parts = urlsplit(Place.from_uri(address).uri)
    if parts.scheme in ("file", "local"):
        return os.path.realpath(unquote(parts.path))
    scheme = "s3" if parts.scheme == "s3a" else parts.scheme
    return f"{scheme}://{parts.netloc}{posixpath.normpath(unquote(parts.path) or '/')}".rstrip("/")


def make_plan(data: Any, modality: Modality, rows: int, columns: Mapping[str, Any]) -> Plan:
    """Divide data into blocks.

    Args:
        data: As for `kinbits.scale.encode`.
        modality: What is encoded.
        rows: Number of items of a block.
        columns: Names of columns, as options of `kinbits.open_dataset`.

    Raises:
        DataError: If there is nothing to encode, or a file is damaged.
        UsageError: If a column does not exist.
        PlatformError: If the input cannot be read.
    """
    if is_sharded(data):
        return _sharded(os.fspath(data), modality, rows, columns)
    return _opened(open_collection(open_dataset(data, **columns) if columns else data, modality), rows)


def _opened(dataset: Dataset, rows: int) -> Plan:
    columns = dataset.metadata()

    def block(number: int) -> Block:
        return RowsBlock.from_dataset(dataset, number * rows, min((number + 1) * rows, len(dataset)))

    return Plan(
        name=dataset.name,
        count=-(-len(dataset) // rows),
        block=block,
        identity=_digest([_identity(dataset), json.dumps(columns)]),
        items=len(dataset),
        root=dataset.root,
        types=metadata_types(columns),
    )


def _identity(dataset: Dataset) -> str:
    """Identify a collection; files by size and time of change, so that none has to be read."""
    if type(dataset.items) is not PathItems:
        return dataset.fingerprint
    with ThreadPoolExecutor(_READERS) as pool:
        facts = pool.map(_file_facts, dataset.items.paths, chunksize=256)
        return _digest(f"{id_}\0{one}" for id_, one in zip(dataset.ids.tolist(), facts, strict=True))


def _file_facts(path: str) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return "missing"
    return f"{found.st_size} {found.st_mtime_ns}"


def _sharded(data: str, modality: Modality, rows: int, columns: Mapping[str, str]) -> Plan:
    place = Place.from_uri(data if is_uri(data) else str(full_path(data)))
    one = place.file_info()
    files = place.list_files() if one is None else [one]
    folder = place if one is None else place.parent()
    visible = [file for file in files if not any(part.startswith((".", "_")) for part in file.name.split("/"))]
    kinds: list[tuple[Iterable[str], Callable[..., tuple[list[Any], int | None]]]] = [
        (ENDINGS, _tar_blocks),
        (_TABLES, _table_blocks),
        (EXTENSIONS, _image_blocks),
    ]
    groups = [[file for file in visible if file.name.lower().endswith(tuple(endings))] for endings, _ in kinds]
    tars, tables, images = map(len, groups)
    if sum(map(bool, (tars, tables, images))) > 1 and (tars or not _list_images(folder, groups[1], columns)):
        raise DataError(
            f"{data} holds files of several kinds: {tars:,} tar files, {tables:,} Parquet files and {images:,} images; "
            "give a folder with those of one kind, or the address of one file"
        )
    for chosen, (_, make) in zip(groups, kinds, strict=True):
        if chosen:
            blocks, items = make(folder, [file.name for file in chosen], modality, rows, columns)
            return Plan(
                name=place.name,
                count=len(blocks),
                block=blocks.__getitem__,
                identity=_digest([_listing(chosen), json.dumps(dict(columns), sort_keys=True)]),
                items=items,
            )
    raise DataError(
        f"{data} holds {len(visible):,} files, but no tar shards (.tar), Parquet files (.parquet) or images; "
        "check the address"
    )


def _tar_blocks(
    place: Place, files: list[str], modality: Modality, rows: int, columns: Mapping[str, str]
) -> tuple[list[TarBlock], None]:
    if columns:
        raise UsageError(f"{', '.join(columns)}: tar files have no columns; leave that out")
    stems: dict[str, str] = {}
    for file in files:
        other = stems.setdefault(stem_of(file), file)
        if other != file:
            raise DataError(
                f"{place.uri}: the samples of {other} and {file} would have the same ids; rename one of them"
            )
    return [TarBlock(place, file, rows, modality == "text") for file in files], None


def _list_images(place: Place, tables: Iterable[ListedFile], columns: Mapping[str, str]) -> bool:
    """Tell whether Parquet files hold paths of images, so that images may be beside them."""
    names = [file.name for file in tables]
    return holds_paths(place, names, _table_roles(columns))


def _table_roles(columns: Mapping[str, str]) -> TableRoles:
    names = {
        "image_column": "images",
        "vector_column": "vectors",
        "text_column": "texts",
        "id_column": "ids",
        "label_column": "labels",
    }
    return TableRoles(**{names[name]: value for name, value in columns.items()})


def _table_blocks(
    place: Place, files: list[str], modality: Modality, rows: int, columns: Mapping[str, str]
) -> tuple[list[Any], int]:
    return plan_tables(place, files, _table_roles(columns), rows, modality == "text")


def _image_blocks(
    place: Place, files: list[str], modality: Modality, rows: int, columns: Mapping[str, str]
) -> tuple[list[ImagesBlock], int]:
    if modality == "text" or columns:
        raise UsageError(f"{place.uri} holds images, which have no texts and no columns; give tar or Parquet files")
    starts = range(0, len(files), rows)
    return [ImagesBlock(place, tuple(files[start : start + rows])) for start in starts], len(files)


def _listing(files: Iterable[ListedFile]) -> str:
    return _digest(f"{file.name}\0{file.size} {file.time}" for file in files)


def _digest(texts: Iterable[str]) -> str:
    state = hashlib.sha256()
    for text in texts:
        state.update(f"{len(text)}:{text}".encode("utf-8", "surrogatepass"))
    return state.hexdigest()
