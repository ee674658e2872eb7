"""A collection: items, their names, labels, texts and metadata, and what had to be left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kinbits._util import lazy
from kinbits.data.decoding import BadImage
from kinbits.data.items import Items, digest
from kinbits.data.labels import LabelSpace
from kinbits.data.shown import as_html
from kinbits.errors import DataError

RESERVED = ("id", "distance")
"""The names that search results give to their own columns."""


@dataclass(frozen=True)
class Skipped:
    """One item that was left out.

    Attributes:
        id: The source's own name of it.
        reason: Why, in a few words.
    """

    id: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """A collection of images or vectors; immutable, and cheap to cut into parts.

    Attributes:
        items: The store of the n images or vectors.
        ids: The source's own names, str ``(n,)`` or int64 ``(n,)``, unique.
        labels: int64 ``(n,)`` with -1 for unlabelled, or multi-hot uint8 ``(n, C)``; None without labels.
        label_space: What the labels mean; None without labels.
        texts: One text an item; None without texts.
        columns: Further metadata by name, each of length n (for filters in an index).
        name: What to call the collection in reports.
        skipped: What was left out, and why.
        ignored: Files that are no images by their extension: extension -> count.
        label_column: What the source calls its labels; an index calls them so too.
        text_column: What the source calls its texts.
        from_folders: Whether the labels are names of folders, which may not be meant as classes.
        guesses: What was guessed about the source, a few words each: which column is which, what the classes are.
        root: Folder that relative paths among the ids and columns start from; None where there is none.

    Raises:
        DataError: If lengths differ, or ids are not unique.
    """

    items: Items
    ids: np.ndarray
    labels: np.ndarray | None = None
    label_space: LabelSpace | None = None
    texts: tuple[str, ...] | None = None
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    name: str = "data"
    skipped: tuple[Skipped, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    label_column: str = "label"
    text_column: str = "text"
    from_folders: bool = False
    guesses: tuple[str, ...] = ()
    root: Path | None = None

    def __post_init__(self) -> None:
        parts = [("ids", self.ids), ("labels", self.labels), ("texts", self.texts), *self.columns.items()]
        for what, values in parts:
            if values is not None and len(values) != len(self.items):
                raise DataError(f"{self.name}: {len(values)} {what} for {len(self.items)} items; give one for each")
        _check_unique(self.ids, self.name)
        if self.labels is not None:
            _check_labels(self.labels, self.label_space, self.name)

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        facts = [f"{len(self):,} {self.kind}s"]
        facts += [f"{len(self.label_space.names):,} classes"] if self.label_space is not None else []
        facts += ["texts"] if self.texts is not None else []
        facts += [f"{len(self.columns):,} further columns"] if self.columns else []
        facts += [f"{len(self.skipped):,} skipped"] if self.skipped else []
        return f"Dataset({self.name}: {', '.join(facts)})"

    def _repr_html_(self) -> str:
        return as_html(self.describe(), {"first images": self.preview()} if self.kind == "image" else {})

    @lazy
    def fingerprint(self) -> str:
        """Identity of contents, ids and texts (sha256 hex); labels and metadata do not change it."""
        ids = self.ids.tobytes() if self.ids.dtype.kind in "iu" else "\0".join(map(str, self.ids))
        return digest(self.items.fingerprint, ids, "\0".join(self.texts or ()))

    @property
    def kind(self) -> str:
        """What the items are: ``"image"`` or ``"vector"``."""
        return self.items.kind

    @property
    def has_text(self) -> np.ndarray:
        """Which rows have a text, bool ``(n,)``; an empty one is none."""
        if self.texts is None:
            return np.zeros(len(self), bool)
        return np.fromiter((bool(text.strip()) for text in self.texts), bool, len(self))

    def image(self, row: int) -> Image.Image:
        """Decode one row to a Pillow RGB image.

        Raises:
            BadImage: If it cannot be decoded.
        """
        return self.items.image(row)

    def metadata(self) -> dict[str, list[Any]]:
        """Return what an index keeps with the codes: class names, texts, and further columns, n values each.

        Labels and texts are called as in the source, e.g. ``category`` and ``title``; those of a folder are ``label``
        and ``text``. A column called ``id`` or ``distance`` is left out, since search results have their own.
        Values are numbers, bool, str, or None where there is none; those of other types become text.
        """
        columns: dict[str, list[Any]] = {}
        if self.label_space is not None and self.labels is not None:
            columns[_free(self.label_column, "label")] = self.label_space.texts(self.labels)
        if self.texts is not None:
            columns[_free(self.text_column, "text")] = list(self.texts)
        for name, values in self.columns.items():
            if name not in RESERVED:
                columns.setdefault(name, [_plain(value) for value in values])
        return columns

    def rows_of(self, part: Dataset) -> np.ndarray:
        """Return the rows of a part, found by their ids, in the order of the part, int64 ``(m,)``."""
        _, rows, places = np.intersect1d(self.ids, part.ids, return_indices=True)
        return rows[np.argsort(places)]

    def preview(self, count: int = 8) -> Iterator[tuple[Image.Image, str]]:
        """Yield the first images that can be read, each with its class, else its id."""
        for row in range(min(len(self), count)):
            try:
                picture = self.image(row)
            except BadImage:
                continue
            label = None
            if self.label_space is not None and self.labels is not None:
                (label,) = self.label_space.texts(self.labels[row : row + 1])
            yield picture, label or str(self.ids[row])

    def select(self, rows: np.ndarray | Sequence[int]) -> Dataset:
        """Return some rows, in the given order; ``skipped`` stays with the whole and is not copied.

        Args:
            rows: int64 ``(m,)`` rows, or bool ``(n,)``.
        """
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        return replace(
            self,
            items=self.items.select(rows),
            ids=self.ids[rows],
            labels=None if self.labels is None else self.labels[rows],
            texts=None if self.texts is None else tuple(self.texts[row] for row in rows),
            columns={name: _take(values, rows) for name, values in self.columns.items()},
            skipped=(),
            ignored={},
        )

    def without(self, rows: np.ndarray | Sequence[int], reasons: Sequence[str]) -> Dataset:
        """Return the set without some rows, which are added to ``skipped``.

        Args:
            rows: int64 ``(m,)`` rows to leave out.
            reasons: Why, one for each of the rows.
        """
        rows = np.asarray(rows, np.int64)
        left_out = (Skipped(str(self.ids[row]), why) for row, why in zip(rows, reasons, strict=True))
        keep = np.ones(len(self), bool)
        keep[rows] = False
        return replace(self.select(keep), skipped=(*self.skipped, *left_out), ignored=self.ignored)

    def describe(self) -> str:
        """Say in a few lines what is in the set and what was left out."""
        what = "vectors" if self.kind == "vector" else "images"
        lines = [f"{self.name}: {len(self)} {what}, {self.label_space.describe() if self.label_space else 'no labels'}"]
        if self.texts is not None:
            count = int(self.has_text.sum())
            lines[0] += ", with texts" if count == len(self) else f", {count} of them with a text"
        if self.skipped:
            lines.append(f"skipped {len(self.skipped)}:")
            reasons = Counter(skipped.reason for skipped in self.skipped).most_common(10)
            lines += [f"  {count} x {reason}" for reason, count in reasons]
        if self.ignored:
            counts = ", ".join(f"{ext or 'no extension'} {n}" for ext, n in sorted(self.ignored.items()))
            lines.append(f"ignored {sum(self.ignored.values())} files that are no images ({counts})")
        return "\n".join(lines)


def readable(dataset: Dataset, threads: int | None = None) -> Dataset:
    """Decode every image once, and leave out those that cannot be decoded.

    Args:
        dataset: Any collection; vectors are returned as they are.
        threads: Decoders at work at once; the number of processors when None.

    Returns:
        The readable rows; the others are listed in ``skipped``.

    Raises:
        DataError: If no image is readable.
    """
    if dataset.kind == "vector":
        return dataset
    workers = threads or os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        bad: dict[int, str] = {}
        for start in range(0, len(dataset), 4096):  # in blocks: one queue of a million futures would fill memory
            rows = range(start, min(start + 4096, len(dataset)))
            found = zip(rows, pool.map(lambda row: _fault(dataset, row), rows), strict=True)
            bad.update((row, why) for row, why in found if why is not None)
    kept = dataset.without(list(bad), list(bad.values())) if bad else dataset
    if not len(kept):
        raise nothing_usable(kept)
    return kept


def nothing_usable(dataset: Dataset) -> DataError:
    """Build the error for a source from which nothing is left, with the first reasons."""
    shown = "; ".join(f"{skipped.id}: {skipped.reason}" for skipped in dataset.skipped[:3])
    return DataError(
        f"{dataset.name}: no usable image, {len(dataset.skipped)} skipped ({shown}); "
        "check the paths, or replace the damaged files"
    )


def check_size(dataset: Dataset) -> None:
    """Refuse a source of which too little is left to learn from, and say what became of the rest."""
    if len(dataset) < 2:
        n, skipped = len(dataset), dataset.skipped
        why = "".join(f"; {one.id}: {one.reason}" for one in skipped[:3])
        rest = f", {len(skipped)} skipped{why}" if skipped else ""
        raise DataError(f"{dataset.name} has {n} usable {'image' if n == 1 else 'images'}{rest}; give at least 2")


def _fault(dataset: Dataset, row: int) -> str | None:
    try:
        dataset.image(row)
    except BadImage as error:
        return error.reason
    return None


def _free(name: str, otherwise: str) -> str:
    return otherwise if name in RESERVED else name


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _take(values: Sequence[Any], rows: np.ndarray) -> Sequence[Any]:
    return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]


def _check_unique(ids: np.ndarray, name: str) -> None:
    if len(set(ids.tolist())) == len(ids):
        return
    values, counts = np.unique(ids, return_counts=True)
    most = counts.argmax()
    raise DataError(
        f"{name}: ids must be unique; '{values[most]}' occurs {counts[most]} times; name another column of ids"
    )


def _check_labels(labels: np.ndarray, space: LabelSpace | None, name: str) -> None:
    if space is None:
        raise DataError(f"{name}: labels without a label space; give a LabelSpace that names the classes")
    if space.multi:
        if labels.ndim != 2 or labels.shape[1] != space.classes:
            raise DataError(f"{name}: labels of shape {labels.shape}; multi-label needs (n, {space.classes})")
    elif labels.ndim != 1 or (len(labels) and not -1 <= labels.min() <= labels.max() < space.classes):
        raise DataError(f"{name}: labels must be whole numbers in -1..{space.classes - 1}, one an item")
