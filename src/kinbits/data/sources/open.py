"""One door for every kind of source."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kinbits._util import full_path, named_extras
from kinbits.data.dataset import Dataset
from kinbits.data.sources.arrays import open_array, open_numpy
from kinbits.data.sources.columns import Options
from kinbits.data.sources.files import EXTENSIONS, open_folder, open_list, open_paths, require_file
from kinbits.data.sources.tabular import from_datasets, open_csv, open_hub, open_parquet
from kinbits.errors import UsageError

_KINDS = "a folder of images, .csv, .tsv, .parquet, a .txt list of 'path label' lines, .npy, .npz, or 'hf:<name>'"


@named_extras()
def open_dataset(
    source: Any,
    *,
    image_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    text_column: str | None = None,
    id_column: str | None = None,
    label_names: Sequence[str] | None = None,
    label_separator: str | None = None,
    root: str | os.PathLike[str] | None = None,
    split: str | None = None,
    labels: Any = None,
    texts: Sequence[Any] | None = None,
) -> Dataset:
    """Open a collection of images or vectors; nothing is decoded yet.

    In a table, labels, ids, texts and paths are taken as they are written: a class NA or 007 keeps its name, and only
    an empty cell is missing. Labels of a CSV table are names, numbers among them in the order of their values, unless
    ``label_names`` says what they stand for; whole numbers in Parquet, `datasets` and arrays are class numbers, -1 for
    none. What is guessed about the source is listed in `Dataset.guesses`.

    Args:
        source: A folder (class subfolders or flat, with ``captions.csv`` or ``captions.txt`` for texts); a
            ``.csv``, ``.tsv`` or ``.parquet`` with image paths; a ``.parquet`` (or a folder of shards) with
            image bytes; a ``.txt`` list of ``path 0 1 0`` or ``path 3`` lines; ``.npy`` or ``.npz``;
            ``hf:<name>``; a `datasets.Dataset`; an array of uint8 images ``(n, h, w[, 3])`` or float vectors
            ``(n, d)``; a list of image paths.
        image_column: Column (or .npz key) of the images; guessed when None.
        label_column: Column of labels, or several columns of 0/1; guessed when None.
        text_column: Column of texts; guessed when None.
        id_column: Column of unique names; when None, ``id``, ``image_id`` or ``sku``, if no two cells are alike, else
            the paths of the images, or the row numbers.
        label_names: Class names, the place is the label.
        label_separator: What stands between several labels in one cell.
        root: Folder that relative paths start from; that of the table or list when None.
        split: Read only this split, where the source has named ones.
        labels: Labels for arrays and lists of paths: int or str ``(n,)``, or multi-hot ``(n, C)``. False leaves out the
            labels of any source: folder names and columns that are only guessed to be labels become metadata.
        texts: One text an item, or a list of them, for arrays and lists of paths; None where there is none.

    Raises:
        DataError: If the source is missing, damaged, or holds no usable image.
        UsageError: If an option does not fit the source.

    Example:
        >>> data = open_dataset(np.zeros((2, 8, 8), np.uint8), labels=["cat", "dog"])
        >>> data.label_space.names
        ('cat', 'dog')
    """
    options = Options(
        image_column,
        label_column,
        text_column,
        id_column,
        label_names,
        label_separator,
        root,
        split,
        labels,
        texts,
    )
    if isinstance(source, Dataset):
        return source
    if isinstance(source, np.ndarray):
        return open_array(source, options)
    if isinstance(source, (list, tuple)):
        return open_paths(source, options)
    if isinstance(source, (str, os.PathLike)):
        return replace(_open_path(os.fspath(source), options), root=_root(os.fspath(source), root))
    if type(source).__module__.split(".")[0] == "datasets":
        _refuse_given(options)
        return from_datasets(source, options)
    raise UsageError(f"cannot open a {type(source).__name__} as data; give {_KINDS}, or an array")


def _open_path(source: str, options: Options) -> Dataset:
    path = Path(source).expanduser()
    if path.suffix.lower() in (".npy", ".npz") and path.is_file():
        return open_numpy(path, options)
    _refuse_given(options)
    if source.startswith("hf:"):
        return open_hub(source[3:], options)
    if path.is_dir():
        shards = _shards(path)
        return open_parquet(shards, options) if shards else open_folder(path, options)
    require_file(path, f"give {_KINDS}")
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return open_csv(path, options)
    if suffix in (".parquet", ".pq"):
        return open_parquet([path], options)
    if suffix in (".txt", ".lst"):
        return open_list(path, options)
    if suffix in EXTENSIONS:
        return open_paths([path], options, path.stem)
    raise UsageError(f"cannot tell what {path} is by its extension '{suffix}'; give {_KINDS}")


def _root(source: str, given: str | os.PathLike[str] | None) -> Path | None:
    path = full_path(source if given is None else given)
    return path if path.is_dir() else path.parent if path.is_file() else None


def _shards(folder: Path) -> list[Path]:
    """List the Parquet shards, if the folder holds nothing else that is visible."""
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return entries if entries and all(entry.suffix == ".parquet" for entry in entries) else []


def _refuse_given(options: Options) -> None:
    if (options.labels is not None and not options.unlabelled) or options.texts is not None:
        raise UsageError(
            "labels= and texts= go with arrays and lists of paths; this source has its own columns or "
            "folders: name them by label_column and text_column"
        )
