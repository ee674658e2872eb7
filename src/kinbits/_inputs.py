"""Whatever a person hands over as images, as a Dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kinbits._errors import DataError, UsageError
from kinbits._lazy import lazy
from kinbits.backbones import Features
from kinbits.data import Dataset, Items, VectorItems, open_dataset


class ObjectItems(Items):
    """A list of PIL images, arrays, paths or encoded bytes, of any mix and size."""

    def __init__(self, objects: Sequence[Any]) -> None:
        super().__init__(np.arange(len(objects)))
        self._objects = list(objects)

    @lazy
    def fingerprint(self) -> str:
        """Hash of the pixels shown."""
        digest = hashlib.sha256()
        for row in range(len(self)):
            image = self.image(row)
            digest.update(f"{image.size}".encode() + image.tobytes())
        return digest.hexdigest()

    def _identity(self) -> str:
        return ""

    def _encoded(self, row: int) -> Any:
        return self._objects[row]


def as_dataset(items: Any) -> Dataset:
    """Return a Dataset of what was given.

    Args:
        items: A Dataset; the path of an image; a PIL image; an array uint8 ``(h, w)``, ``(h, w, 3)`` or
            ``(n, h, w, 3)``; float vectors ``(n, d)``; a list of paths, PIL images and arrays in any mix; or any
            source that `kinbits.open_dataset` takes.

    Raises:
        UsageError: The object is none of these.
    """
    if isinstance(items, Dataset):
        return items
    if isinstance(items, Image.Image):
        return _objects([items])
    if isinstance(items, (str, Path)) and Path(items).is_file() and not _is_table(Path(items)):
        return _objects([Path(items)])
    if isinstance(items, np.ndarray) and items.dtype == np.uint8 and (items.ndim == 2 or _is_picture(items)):
        return _objects([items])
    if isinstance(items, (list, tuple)):
        strange = [x for x in items if not isinstance(x, (str, Path, bytes, np.ndarray, Image.Image))]
        if strange:
            raise UsageError(f"cannot read an image from {type(strange[0]).__name__}; give paths, PIL images or arrays")
        return _objects([Path(x) if isinstance(x, str) else x for x in items])
    return open_dataset(items)


def as_texts(texts: Sequence[str] | str) -> Dataset:
    """Return a Dataset of one text, or of several.

    Raises:
        UsageError: They are neither a text nor a list of texts.
        DataError: One is empty, or no text.
    """
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, Iterable):
        raise UsageError(f"cannot read texts from {type(texts).__name__}; give a text, or a list of texts")
    texts = list(texts)
    for row, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"text {row} is {text!r}; give a text that is not empty, or leave this one out")
    rows = np.arange(len(texts))
    return Dataset(VectorItems(np.zeros((len(texts), 0), np.float32)), rows, texts=tuple(texts), name="texts")


def without_unreadable(dataset: Dataset, found: Features) -> Dataset:
    """Return the part of a dataset that could be read; the rest joins its skipped items."""
    bad = np.flatnonzero(~found.valid)
    return dataset.without(bad, [skipped.reason for skipped in found.skipped]) if len(bad) else dataset


def _objects(objects: Sequence[Any]) -> Dataset:
    names = [str(x) if isinstance(x, Path) else f"image {row}" for row, x in enumerate(objects)]
    unique = len(set(names)) == len(names)
    ids = names if unique else [f"{row} {name}" for row, name in enumerate(names)]
    return Dataset(ObjectItems(objects), np.array(ids), name="images")


def _is_picture(array: np.ndarray) -> bool:
    return array.ndim == 3 and array.shape[2] in (3, 4)


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in {".csv", ".tsv", ".parquet", ".txt", ".npy", ".npz"}
