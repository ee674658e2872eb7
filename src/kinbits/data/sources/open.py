"""Opening of data sources of every kind."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kinbits._util import full_path, named_extras
from kinbits.data.dataset import Dataset
from kinbits.data.file_kinds import EXTENSIONS
from kinbits.data.frames import by_frames
from kinbits.data.sources.arrays import open_array, open_numpy, open_shards
from kinbits.data.sources.columns import Options
from kinbits.data.sources.files import open_list, open_paths, require_file
from kinbits.data.sources.folder import open_folder
from kinbits.data.sources.hidden import hidden_kind
from kinbits.data.sources.tabular import from_datasets, open_csv, open_hub, open_parquet
from kinbits.errors import UsageError

_KINDS = "a folder of images, .csv, .tsv, .parquet, a .txt list of 'path label' lines, .npy, .npz, or 'hf:<name>'"


@named_extras()
def open_dataset(
    source: Any,
    *,
    image_column: str | None = None,
    vector_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    text_column: str | None = None,
    id_column: str | None = None,
    label_names: Sequence[str] | None = None,
    label_separator: str | None = None,
    root: str | os.PathLike[str] | None = None,
    split: str | None = None,
    labels: Any = None,
    texts: Sequence[Any] | None = None,
    frames: Literal["first", "all"] = "first",
    include_hidden: bool = False,
) -> Dataset:
    """Open a collection of images or vectors; no image is decoded yet.

    Tables keep labels, ids, texts and paths exactly as written: a class NA or 007 keeps its name, and only an empty
    cell is missing. Labels of a CSV table are class names; names in digits are sorted by value. With ``label_names``,
    labels in digits are class numbers. Integers in Parquet, `datasets` and arrays are class numbers, -1 for unlabelled.
    `Dataset.guesses` lists what was guessed about the source.

    Args:
        source: A folder (class subfolders or flat, with ``captions.csv`` or ``captions.txt`` for texts); a
            ``.csv``, ``.tsv`` or ``.parquet`` with image paths; a ``.parquet`` (or a folder of shards) with
            image bytes or vectors; a ``.txt`` list of ``path 0 1 0`` or ``path 3`` lines; ``.npy`` (or a folder of
            shards with vectors) or ``.npz``;
            ``hf:<name>``; a `datasets.Dataset`; an array of uint8 images ``(n, h, w[, 3])`` or float vectors
            ``(n, d)``; a list of image paths.
        image_column: Column (or .npz key) of the images; None finds it by its name.
        vector_column: Column (or .npz key) of the vectors; None finds it by its name, if there are no images.
        label_column: Column of labels, or several columns of 0/1; None finds it by its name.
        text_column: Column of texts; None finds it by its name.
        id_column: Column of unique names. None uses ``id``, ``image_id`` or ``sku`` if all cells differ, or else the
            paths of the images, or the row numbers.
        label_names: Class names in the order of the class numbers.
        label_separator: Separator of several labels in one cell.
        root: Folder that relative paths start from; None uses the folder of the table or list.
        split: Name of the split to read; None reads all.
        labels: Labels for arrays and lists of paths: int or str ``(n,)``, or multi-hot ``(n, C)``. False ignores the
            labels of any source: folder names and guessed label columns become metadata.
        texts: One text per item, or a list of texts, for arrays and lists of paths; None for an item without text.
        frames: ``"first"`` reads the first frame of an animation or page of a TIFF file. ``"all"`` makes each an item
            with the id ``path#frame``, from 0; the source must name image files.
        include_hidden: Whether a folder is read with its hidden and system files, such as ``.thumbnails``.

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
        vector_column,
        label_column,
        text_column,
        id_column,
        label_names,
        label_separator,
        root,
        split,
        labels,
        texts,
        include_hidden,
    )
    if frames not in ("first", "all"):
        raise UsageError(f"frames is {frames!r}; give 'first' or 'all'")
    data = _open(source, options)
    return by_frames(data) if frames == "all" else data


def _open(source: Any, options: Options) -> Dataset:
    if isinstance(source, Dataset):
        return source
    if isinstance(source, np.ndarray):
        return open_array(source, options)
    if isinstance(source, (list, tuple)):
        return open_paths(source, options)
    if isinstance(source, (str, os.PathLike)):
        return replace(_open_path(os.fspath(source), options), root=_root(os.fspath(source), options.root))
    if type(source).__module__.split(".")[0] == "datasets":
        _refuse_given(options)
        return from_datasets(source, options)
    raise UsageError(f"cannot open a {type(source).__name__} as data; give {_KINDS}, or an array")


def _open_path(source: str, options: Options) -> Dataset:
    path = Path(source).expanduser()
    if path.suffix.lower() in (".npy", ".npz") and path.is_file():
        return open_numpy(path, options)
    vectors = _shards(path, ".npy")
    if vectors:
        return open_shards(vectors, options)
    _refuse_given(options)
    if source.startswith("hf:"):
        return open_hub(source[3:], options)
    if path.is_dir():
        shards = _shards(path, ".parquet")
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


def _shards(folder: Path, suffix: str) -> list[Path]:
    """Return the shards of a folder, sorted by name; none if the folder has other visible files, or is none."""
    if not folder.is_dir():
        return []
    entries = sorted(entry for entry in folder.iterdir() if hidden_kind(entry.name) is None)
    return entries if entries and all(entry.suffix == suffix for entry in entries) else []


def _refuse_given(options: Options) -> None:
    if (options.labels is not None and not options.unlabelled) or options.texts is not None:
        raise UsageError(
            "labels and texts can be given only for arrays and lists of paths; this source has columns or folders: "
            "name the columns with label_column and text_column"
        )
