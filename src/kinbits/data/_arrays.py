"""Arrays as sources: images or vectors, in memory or in .npy and .npz files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import DataError
from ._columns import Options, label_array, pick
from ._dataset import Dataset, nothing_usable
from ._items import ArrayItems, Items, VectorItems, file_identity

NOT_FINITE = "vector is not finite as float32"
_DATA_KEYS = ["vectors", "features", "embeddings", "x", "images", "image", "data", "arr_0"]
_LABEL_KEYS = ["labels", "label", "y", "targets", "target"]
_ID_KEYS = ["ids", "id", "names", "name"]


def open_numpy(path: Path, options: Options) -> Dataset:
    """Open ``.npy`` (memory-mapped) or ``.npz`` (keys such as vectors or images, labels, ids, label_names).

    Raises:
        DataError: The file is damaged, holds Python objects, or no fitting array.
    """
    try:
        arrays = _load(path)
    except (ValueError, OSError, EOFError, KeyError) as error:
        raise DataError(f"{path}: not a readable NumPy file ({error}); save plain arrays, no objects") from None
    except Exception as error:  # zipfile and zlib raise their own kinds on damaged archives
        raise DataError(f"{path}: damaged NumPy archive ({error}); write it again") from None
    key = pick(options.image_column, _DATA_KEYS, list(arrays))
    if key is None:
        raise DataError(f"{path}: no array among {', '.join(arrays)}; looked for {', '.join(_DATA_KEYS)}")
    return open_array(arrays[key], _beside(arrays, options), path.stem, file_identity(path), _ids(arrays))


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
    """Wrap uint8 images ``(n, h, w)`` or ``(n, h, w, c)``, or float vectors ``(n, d)``.

    Rows of vectors with values that are not finite as float32 are left out and listed.

    Raises:
        DataError: Another shape or dtype, or no row is left.
    """
    items = _items(array, name, identity)
    labels, space = (None, None) if options.labels is None else label_array(options.labels, options, name)
    texts = None if options.texts is None else tuple(map(str, options.texts))
    data = Dataset(items, np.arange(len(items)) if ids is None else ids, labels, space, texts, name=name)
    if isinstance(items, VectorItems):
        bad = _not_finite(array)
        data = data.without(bad, [NOT_FINITE] * len(bad)) if len(bad) else data
    if not len(data):
        raise nothing_usable(data)
    return data


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


def _not_finite(vectors: np.ndarray) -> np.ndarray:
    blocks = range(0, len(vectors), 65536)
    with np.errstate(over="ignore"):  # the heads compute in float32
        bad = [start + np.flatnonzero(~_finite(vectors[start : start + 65536])) for start in blocks]
    return np.concatenate(bad) if bad else np.zeros(0, np.int64)


def _finite(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(np.isfinite(vectors.astype(np.float32, copy=False)).all(axis=1))


def _beside(arrays: Mapping[str, np.ndarray], options: Options) -> Options:
    """Take labels and class names from the archive where the caller gave none."""
    found: dict[str, Any] = {}
    column = options.label_column if isinstance(options.label_column, str) else None
    key = pick(column, _LABEL_KEYS, list(arrays))
    if options.labels is None and key is not None:
        found["labels"] = arrays[key]
    if options.label_names is None and "label_names" in arrays:
        found["label_names"] = [str(name) for name in arrays["label_names"]]
    return replace(options, **found)


def _ids(arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    key = pick(None, _ID_KEYS, list(arrays))
    if key is None:
        return None
    ids = arrays[key]
    return ids.astype(np.int64) if ids.dtype.kind in "iu" else ids.astype(np.str_)
