"""Conversion of single items, lists of items, and data sources to a `Dataset`, for encoding."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kinbits._util import lazy
from kinbits.data.bad_image import BadImage
from kinbits.data.dataset import Dataset
from kinbits.data.items import Items, VectorItems
from kinbits.data.sources.arrays import refuse_masked
from kinbits.data.sources.open import open_dataset
from kinbits.errors import DataError, UsageError

ROWS = 65536  # number of rows that are checked at once


class ObjectItems(Items):
    """Images from a list of PIL images, arrays, paths or encoded bytes, of any size."""

    def __init__(self, objects: Sequence[Any]) -> None:
        super().__init__(np.arange(len(objects)))
        self._objects = list(objects)

    def compact(self) -> ObjectItems:
        """Return a store of the selected objects alone."""
        return ObjectItems([self._objects[row] for row in self.rows.tolist()])

    @lazy
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the pixels of the selected rows."""
        digest = hashlib.sha256()
        for row in range(len(self)):
            digest.update(self._shown(row))
        return digest.hexdigest()

    def content_hash(self) -> str:
        """Return the SHA-256 (hex) of the pixels of the selected rows."""
        return self.fingerprint

    def _shown(self, row: int) -> bytes:
        try:
            image = self.image(row)
        except BadImage as error:
            return f"unreadable: {error.reason}".encode()
        return f"{image.size}".encode() + image.tobytes()

    def _identity(self) -> str:
        return ""

    def _encoded(self, row: int) -> Any:
        return self._objects[row]


def as_dataset(items: Any) -> Dataset:
    """Return items as a `Dataset`.

    Args:
        items: A Dataset; the path of an image; encoded bytes, or a binary file of them; a PIL image; an array uint8
            ``(h, w)``, ``(h, w, 3)``, ``(n, h, w)`` or ``(n, h, w, 3)``; float vectors ``(d,)`` or ``(n, d)``; a list
            of paths, bytes, files, PIL images and arrays in any mix, or of vectors; or any source that
            `kinbits.open_dataset` takes.

    Raises:
        UsageError: If the object has another type, or is an array with an ambiguous shape.
        DataError: If a vector is not finite as float32.
    """
    if isinstance(items, Dataset):
        return items
    if isinstance(items, np.ndarray):
        return _array(items)
    if isinstance(items, (list, tuple)):
        return _vectors(_stacked(items)) if _are_vectors(items) else _objects([_readable(x) for x in items])
    if is_single(items):
        return _objects([_readable(items)])
    return open_dataset(items)


def is_single(items: Any) -> bool:
    """Return whether `as_dataset` reads this as one item; a list, folder or table is never one item."""
    if isinstance(items, np.ndarray):
        return _is_picture(items) or items.ndim == 1
    if isinstance(items, (str, os.PathLike)):
        path = Path(items).expanduser()
        return _is_address(items) or (path.is_file() and not _is_table(path))
    return isinstance(items, (bytes, bytearray, memoryview, Image.Image)) or hasattr(items, "read")


def require_finite(vectors: np.ndarray, start: int = 0) -> None:
    """Check that vectors ``(n, d)`` have no NaN or infinity.

    Args:
        vectors: Vectors in the dtype of the computation; numbers beyond its range are infinite.
        start: Number of the first row, for the error.

    Raises:
        DataError: If a row is not finite; the message names the first one.
    """
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise DataError(
            f"row {start + bad[0]} holds NaN, infinity, or a number beyond {vectors.dtype} ({len(bad)} such rows among "
            f"{len(vectors)}); leave these rows out, or scale the vectors"
        )


def as_texts(texts: Sequence[str] | str) -> Dataset:
    """Return one text, or several, as a `Dataset`.

    Raises:
        UsageError: If the argument is neither a text nor a list of texts.
        DataError: If an element is empty, or not a text.
    """
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, Iterable):
        raise UsageError(f"cannot read texts from {type(texts).__name__}; give a text, or a list of texts")
    texts = list(texts)
    for row, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"text {row} is {text!r}; give a text that is not empty, or remove it")
    rows = np.arange(len(texts))
    return Dataset(VectorItems(np.zeros((len(texts), 0), np.float32)), rows, texts=tuple(texts), name="texts")


def _array(array: np.ndarray) -> Dataset:
    refuse_masked(array, "array")
    if _is_picture(array):
        return _objects([array])
    if array.dtype.kind == "f" and array.ndim <= 2:
        return _vectors(np.atleast_2d(array))
    if array.ndim == 3 and array.shape[0] in (3, 4):
        raise UsageError(
            f"an array of shape {array.shape} may be one image with its channels first, or {array.shape[0]} grey "
            f"images; give (h, w, {array.shape[0]}), e.g. array.transpose(1, 2, 0), or (n, h, w, 1) for grey images"
        )
    return open_dataset(array)


def _vectors(array: np.ndarray) -> Dataset:
    for start in range(0, len(array), ROWS):
        with np.errstate(over="ignore"):
            require_finite(array[start : start + ROWS].astype(np.float32), start)
    return Dataset(VectorItems(array), np.arange(len(array)), name="array")


def _are_vectors(items: Sequence[Any]) -> bool:
    """Return whether the first item is a vector: a 1-D array, or a list or tuple of numbers."""
    first = items[0] if items else None
    if isinstance(first, np.ndarray):
        return first.ndim == 1 and first.dtype.kind == "f"
    return isinstance(first, (list, tuple)) and all(isinstance(x, (int, float, np.number)) for x in first)


def _stacked(items: Sequence[Any]) -> np.ndarray:
    width = len(items[0])
    for row, item in enumerate(items):
        if np.shape(item) != (width,):
            raise DataError(
                f"vector {row} has shape {np.shape(item)}, the first one {(width,)}; give vectors of one width"
            )
    try:
        return np.asarray(items, np.float64 if isinstance(items[0], (list, tuple)) else None)
    except (TypeError, ValueError) as error:
        raise DataError(f"a list of vectors holds a value that is not a number ({error}); remove it") from None


def _readable(item: Any) -> Any:
    """Return one item of a list as an input of `decode`: a path, encoded bytes, an array or a PIL image."""
    if isinstance(item, str):
        if _is_address(item):
            raise UsageError(f"{item} is an address, and kinbits downloads no images; give the bytes of the image")
        return Path(item).expanduser()
    if isinstance(item, (bytearray, memoryview)):
        return bytes(item)
    if hasattr(item, "read"):
        return _read(item)
    if isinstance(item, (os.PathLike, bytes, np.ndarray, Image.Image)):
        return item
    raise UsageError(
        f"cannot read an image from {type(item).__name__}; "
        "give paths, encoded bytes, binary files, PIL images or arrays"
    )


def _read(file: Any) -> bytes:
    """Read a binary file from its start; a file that was just written is positioned at its end."""
    if getattr(file, "seekable", bool)():
        file.seek(0)
    data = file.read()
    if not isinstance(data, bytes):
        raise UsageError(
            "a file of text was given; open images with mode 'rb', and give sys.stdin.buffer for sys.stdin"
        )
    return data


def _objects(objects: Sequence[Any]) -> Dataset:
    names = [str(x) if isinstance(x, Path) else f"image {row}" for row, x in enumerate(objects)]
    unique = len(set(names)) == len(names)
    ids = names if unique else [f"{row} {name}" for row, name in enumerate(names)]
    return Dataset(ObjectItems(objects), np.array(ids), name="images")


def _is_picture(array: np.ndarray) -> bool:
    """Return whether an array is one image: ``(h, w)`` of unsigned integers or bool, or ``(h, w, c)``."""
    if array.ndim == 2:
        return array.dtype.kind in "bu"
    return array.ndim == 3 and array.shape[2] in (1, 3, 4)


def _is_address(item: Any) -> bool:
    return isinstance(item, str) and "://" in item


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in {".csv", ".tsv", ".parquet", ".pq", ".txt", ".lst", ".npy", ".npz"}
