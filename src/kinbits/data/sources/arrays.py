"""Arrays as sources: images or vectors, in memory or in .npy and .npz files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kinbits.data.dataset import Dataset, nothing_usable
from kinbits.data.items import ArrayItems, Items, VectorItems, digest, file_identity
from kinbits.data.labels import LabelSpace
from kinbits.data.mapped_rows import MappedRows
from kinbits.data.sources.cells import array_to_ids
from kinbits.data.sources.columns import Options, find_column, given_texts, label_array, matching_columns, named_classes
from kinbits.data.sources.vectors import without_not_finite
from kinbits.errors import DataError, platform_error

_DATA_KEYS = ["vectors", "features", "embeddings", "x", "images", "image", "data", "arr_0"]
_LABEL_KEYS = ["labels", "label", "y", "targets", "target"]
_ID_KEYS = ["ids", "id", "names", "name"]


def open_numpy(path: Path, options: Options) -> Dataset:
    """Open ``.npy`` (memory-mapped) or ``.npz`` (keys such as vectors or images, labels, ids, label_names).

    Raises:
        DataError: If the file is damaged, holds Python objects, or has no array of images or vectors.
    """
    try:
        arrays = _load(path)
    except (ValueError, OSError, EOFError, KeyError) as error:
        raise DataError(f"{path}: not a readable NumPy file ({error}); save plain arrays, no objects") from None
    except Exception as error:  # zipfile and zlib have further kinds of errors for damaged archives
        raise DataError(f"{path}: damaged NumPy archive ({error}); write it again") from None
    key = find_column(options.item_column, _DATA_KEYS, list(arrays))
    if key is None:
        raise DataError(f"{path}: no array among {', '.join(arrays)}; looked for {', '.join(_DATA_KEYS)}")
    companions = _Companions(arrays, len(arrays[key]) if arrays[key].ndim else 0, options, key)
    data = open_array(arrays[key], companions.options, path.stem, file_identity(path), companions.ids)
    if options.item_column is not None and (data.kind == "vector") != (options.vector_column is not None):
        raise options.wrong_items(str(path), f"{data.kind}s")
    return replace(data, guesses=tuple(companions.guesses(data.label_space)))


def open_shards(paths: Sequence[Path], options: Options) -> Dataset:
    """Open ``.npy`` files with vectors of one width as one collection, in the given order; they stay on disk.

    Raises:
        DataError: If a file is damaged, or holds anything but vectors, or vectors of another width or dtype.
    """
    vectors = [_shard(path) for path in paths]
    for path, array in zip(paths, vectors, strict=True):
        if (array.shape[1], array.dtype) != (vectors[0].shape[1], vectors[0].dtype):
            raise DataError(
                f"{path} holds {array.dtype} vectors of {array.shape[1]} numbers, and {paths[0]} {vectors[0].dtype} "
                f"vectors of {vectors[0].shape[1]}; give all shards of a folder one width and one dtype"
            )
    folder, rows = paths[0].parent, MappedRows(vectors)
    if not len(rows):
        raise DataError(f"{folder}: the shards hold no vectors; give at least one")
    labels, space = label_array(options.labels, options, str(folder))
    texts, identity = given_texts(options, str(folder)), digest(*map(file_identity, paths))
    items = VectorItems(rows, identity)
    return without_not_finite(Dataset(items, np.arange(len(rows)), labels, space, texts, name=folder.name))


def _shard(path: Path) -> np.ndarray:
    try:
        array = _load(path)["arr_0"]
    except OSError as error:
        raise platform_error(f"{path} cannot be read", error) from None
    except (ValueError, EOFError) as error:
        raise DataError(f"{path}: not a readable NumPy file ({error}); write it again") from None
    if array.ndim != 2 or array.dtype.kind != "f" or not array.shape[1]:
        raise DataError(
            f"{path}: array of shape {array.shape} and dtype {array.dtype}; a folder of .npy files is read as shards "
            f"of vectors, float (n, d) each: keep other arrays elsewhere"
        )
    return array


def _load(path: Path) -> dict[str, np.ndarray]:
    if path.suffix.lower() == ".npy":
        return {"arr_0": np.load(path, mmap_mode="r", allow_pickle=False)}
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return dict(archive)


def open_array(
    array: np.ndarray,
    options: Options,
    name: str = "array",
    identity: str | None = None,
    ids: np.ndarray | None = None,
) -> Dataset:
    """Open an array of uint8 images ``(n, h, w)`` or ``(n, h, w, c)``, or of float vectors ``(n, d)``.

    Vectors with values that are not finite as float32 are skipped.

    Raises:
        DataError: If the array has another shape or dtype, or no row is left.
    """
    refuse_masked(array, name)
    items = _items(array, name, identity)
    labels, space = label_array(options.labels, options, name)
    texts = given_texts(options, name)
    ids = np.arange(len(items)) if ids is None else ids
    data = without_not_finite(Dataset(items, ids, labels, space, texts, name=name))
    if not len(data):
        raise nothing_usable(data)
    return data


def refuse_masked(array: np.ndarray, name: str) -> None:
    """Check that an array has no masked values, because NumPy would ignore the mask.

    Raises:
        DataError: If a value is masked.
    """
    if np.ma.is_masked(array):
        raise DataError(
            f"{name}: the array has masked values; fill them, e.g. array.filled(0), or leave these rows out"
        )


def _items(array: np.ndarray, name: str, identity: str | None) -> Items:
    images = array.ndim == 3 or (array.ndim == 4 and array.shape[3] in (1, 3, 4))
    if images and array.dtype == np.uint8 and 0 not in array.shape[1:]:
        return ArrayItems(array, identity)
    if array.ndim == 2 and array.dtype.kind == "f" and array.shape[1]:
        return VectorItems(array, identity)
    raise DataError(
        f"{name}: array of shape {array.shape} and dtype {array.dtype}; give images as uint8 (n, h, w) or "
        "(n, h, w, 3), or vectors as float (n, d)"
    )


class _Companions:
    """Labels, class names and ids in an archive, named by the user or found by their names.

    Args:
        arrays: All arrays by name.
        rows: Number of rows of the data.
        options: Options of the user.
        data: Name of the array with the data.

    Attributes:
        options: The options, with labels and class names from the archive.
        ids: int64 or str ``(n,)``; None without ids.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], rows: int, options: Options, data: str) -> None:
        self.arrays, self.rows, self.options, self.data = arrays, rows, options, data
        self._notes: list[str] = []
        if options.label_names is None and "label_names" in arrays:
            self.options = replace(self.options, label_names=[str(name) for name in arrays["label_names"].ravel()])
        self.label = None
        if options.labels is None:
            column = options.label_column if isinstance(options.label_column, str) else None
            self.label = self._find(column, _LABEL_KEYS, "labels", self._read_labels)
        if self.label is not None:
            self.options = replace(self.options, labels=arrays[self.label], label_column=None)
        self.id = self._find(options.id_column, _ID_KEYS, "ids", self._read_ids)
        self.ids = None if self.id is None else self._read_ids(self.id)

    def guesses(self, space: LabelSpace | None) -> list[str]:
        """Return short descriptions of the guesses; none for an archive of one array."""
        if len(self.arrays) == 1:
            return []
        found = [f"data from array '{self.data}'"] if self.options.item_column is None else []
        if self.label is not None and space is not None:
            found.append(named_classes(space, f"array '{self.label}'"))
        found += [] if self.id is None else [f"ids from array '{self.id}'"]
        return found + self._notes

    def _find(self, named: str | None, guesses: Sequence[str], what: str, read: Callable[[str], Any]) -> str | None:
        """Return the named array, or else the first with a usual name that can be read; note why others cannot."""
        if named is not None:
            return find_column(named, (), list(self.arrays))
        for key in matching_columns(guesses, list(self.arrays)):
            try:
                read(key)
                return key
            except DataError as error:
                self._notes.append(f"array '{key}' is not used as {what}: {str(error).partition('; ')[0]}")
        return None

    def _read_labels(self, key: str) -> None:
        self._check_rows(key)
        label_array(self.arrays[key], self.options, f"array '{key}'")

    def _read_ids(self, key: str) -> np.ndarray:
        self._check_rows(key)
        ids = array_to_ids(self.arrays[key], f"array '{key}'")
        if len(np.unique(ids)) < len(ids):
            raise DataError(f"array '{key}' gives some rows the same id; give each row a unique id")
        return ids

    def _check_rows(self, key: str) -> None:
        shape = self.arrays[key].shape
        if not shape or shape[0] != self.rows:
            raise DataError(f"array '{key}' of shape {shape} does not fit {self.rows} rows of data")
