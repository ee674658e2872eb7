"""Collections of images or vectors: items with ids, labels, texts and metadata, and a list of skipped items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kinbits._util import lazy, processors
from kinbits.data.bad_image import BadImage
from kinbits.data.items import Items, digest
from kinbits.data.labels import LabelSpace
from kinbits.data.left_out import LeftOut, count_left_out
from kinbits.data.shown import as_html
from kinbits.errors import DataError

RESERVED = ("id", "distance")
"""Column names of search results; metadata cannot have them."""


@dataclass(frozen=True)
class Skipped:
    """An item that was left out.

    Attributes:
        id: Name of the item in the source.
        reason: The reason, in a few words.
    """

    id: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """An immutable collection of images or vectors; a subset shares the pixels.

    Attributes:
        items: Store of the n images or vectors.
        ids: Names of the items in the source, str ``(n,)`` or int64 ``(n,)``, unique.
        labels: int64 ``(n,)`` with -1 for unlabelled, or multi-hot uint8 ``(n, C)``; None without labels.
        label_space: Classes of the labels; None without labels.
        texts: One text per item; None without texts.
        columns: Further metadata by name, each of length n (for filters in an index).
        name: Name of the collection in reports.
        skipped: Items that were left out, with the reasons.
        ignored: Files that are not images by their extension: extension -> count.
        hidden: Hidden and system files and folders that were passed over: name -> count.
        links: Links that were followed: ``"files"`` or ``"folders"`` -> count.
        label_column: Name of the labels in the source, and in an index.
        text_column: Name of the texts in the source, and in an index.
        from_folders: Whether the labels are folder names; these are not always classes.
        guesses: Short descriptions of what was guessed about the source, e.g. the roles of columns.
        root: Folder that relative paths in ids and columns start from, or None.

    Raises:
        DataError: If lengths differ, ids are not unique, or labels do not fit the label space.
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
    hidden: Mapping[str, int] = field(default_factory=dict)
    links: Mapping[str, int] = field(default_factory=dict)
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
        """SHA-256 (hex) of contents, ids and texts; labels and metadata do not change it."""
        ids = self.ids.tobytes() if self.ids.dtype.kind in "iu" else "\0".join(map(str, self.ids))
        return digest(self.items.fingerprint, ids, "\0".join(self.texts or ()))

    @property
    def kind(self) -> str:
        """Kind of the items: ``"image"`` or ``"vector"``."""
        return self.items.kind

    @property
    def has_text(self) -> np.ndarray:
        """Mask of the rows that have a text which is not empty, bool ``(n,)``."""
        if self.texts is None:
            return np.zeros(len(self), bool)
        return np.fromiter((bool(text.strip()) for text in self.texts), bool, len(self))

    @property
    def has_label(self) -> np.ndarray:
        """Mask of the rows with a known label, bool ``(n,)``."""
        if self.labels is None:
            return np.zeros(len(self), bool)
        return np.asarray(self.labels >= 0 if self.labels.ndim == 1 else self.labels.any(1))

    @property
    def left_out(self) -> LeftOut:
        """Counts of what was left out: hidden files, videos, what cannot be read, other files; and of links."""
        reasons = (skipped.reason for skipped in self.skipped)
        return count_left_out(reasons, self.ignored, self.hidden, self.links)

    def image(self, row: int) -> Image.Image:
        """Return one row as a Pillow RGB image.

        Raises:
            BadImage: If the image cannot be decoded.
        """
        return self.items.image(row)

    def metadata(self) -> dict[str, list[Any]]:
        """Return the metadata that an index stores with the codes: class names, texts and columns, n values each.

        Labels and texts have their names from the source, e.g. ``category`` and ``title``. For a folder, the names are
        ``label`` and ``text``. Columns ``id`` and ``distance`` are left out, because search results use these names.
        Values are int, float, bool, str, or None for a missing value; other types become text.
        """
        columns: dict[str, list[Any]] = {}
        if self.label_space is not None and self.labels is not None:
            columns[_unless_reserved(self.label_column, "label")] = self.label_space.texts(self.labels)
        if self.texts is not None:
            columns[_unless_reserved(self.text_column, "text")] = list(self.texts)
        for name, values in self.columns.items():
            if name not in RESERVED:
                columns.setdefault(name, [_plain(value) for value in values])
        return columns

    def rows_of(self, part: Dataset) -> np.ndarray:
        """Return the rows whose ids are in a part, in the order of the part, int64 ``(m,)``."""
        _, rows, positions = np.intersect1d(self.ids, part.ids, return_indices=True)
        return rows[np.argsort(positions)]

    def label_text(self, row: int) -> str | None:
        """Return the class names of one row, joined by ", "; None without a label."""
        if self.label_space is None or self.labels is None:
            return None
        return self.label_space.texts(self.labels[row : row + 1])[0]

    def preview(self, count: int = 8) -> Iterator[tuple[Image.Image, str]]:
        """Yield the readable ones of the first ``count`` images, each with its class name, or else its id."""
        for row in range(min(len(self), count)):
            try:
                picture = self.image(row)
            except BadImage:
                continue
            yield picture, self.label_text(row) or str(self.ids[row])

    def select(self, rows: np.ndarray | Sequence[int]) -> Dataset:
        """Return a collection of some rows, in the given order; nothing counts as skipped or left out.

        Args:
            rows: int64 ``(m,)`` rows, or a mask bool ``(n,)``.
        """
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        chosen = self.expand(rows, self.items.select(rows), self.ids[rows])
        return replace(chosen, skipped=(), ignored={}, hidden={}, links={})

    def expand(self, rows: np.ndarray, items: Items, ids: np.ndarray) -> Dataset:
        """Return a collection of new items that are parts of the old ones, such as the frames of files.

        Labels, texts and columns are those of the rows; what was left out stays left out.

        Args:
            rows: int64 ``(m,)`` row of each new item, with repeats.
            items: Store of the m new items.
            ids: m unique names.
        """
        return replace(
            self,
            items=items,
            ids=ids,
            labels=None if self.labels is None else self.labels[rows],
            texts=None if self.texts is None else tuple(self.texts[row] for row in rows),
            columns={name: _take(values, rows) for name, values in self.columns.items()},
        )

    def without(self, rows: np.ndarray | Sequence[int], reasons: Sequence[str]) -> Dataset:
        """Return the collection without some rows, which are added to ``skipped``.

        Args:
            rows: int64 ``(m,)`` rows to leave out.
            reasons: One reason per row.
        """
        rows = np.asarray(rows, np.int64)
        left_out = (Skipped(str(self.ids[row]), why) for row, why in zip(rows, reasons, strict=True))
        keep = np.ones(len(self), bool)
        keep[rows] = False
        return replace(
            self.select(keep),
            skipped=(*self.skipped, *left_out),
            ignored=self.ignored,
            hidden=self.hidden,
            links=self.links,
        )

    def describe(self) -> str:
        """Return a description of the collection in a few lines, with counts of skipped and ignored items."""
        lines = [
            f"{self.name}: {len(self)} {self.kind}s, {self.label_space.describe() if self.label_space else 'no labels'}"
        ]
        if self.texts is not None:
            count = int(self.has_text.sum())
            lines[0] += ", with texts" if count == len(self) else f", {count} of them with a text"
        if self.skipped:
            lines.append(f"skipped {len(self.skipped)}:")
            reasons = Counter(skipped.reason for skipped in self.skipped).most_common(10)
            lines += [f"  {count} x {reason}" for reason, count in reasons]
        left_out = replace(self.left_out, unreadable={})
        if left_out:
            lines.append(f"left out: {left_out}")
        if left_out.followed:
            lines.append(f"followed {left_out.followed}")
        return "\n".join(lines)


def readable(dataset: Dataset, threads: int | None = None) -> Dataset:
    """Return the rows whose images can be decoded; every image is decoded once.

    Args:
        dataset: Any collection; vectors are returned unchanged.
        threads: Number of decoding threads; None uses one per processor.

    Returns:
        The readable rows; ``skipped`` lists the others.

    Raises:
        DataError: If no image is readable.
    """
    if dataset.kind == "vector":
        return dataset
    workers = threads or processors()
    with ThreadPoolExecutor(workers) as pool:
        bad: dict[int, str] = {}
        for start in range(0, len(dataset), 4096):  # in blocks, because a million futures would fill the memory
            rows = range(start, min(start + 4096, len(dataset)))
            faults = zip(rows, pool.map(lambda row: _fault(dataset, row), rows), strict=True)
            bad.update((row, fault) for row, fault in faults if fault is not None)
    kept = dataset.without(list(bad), list(bad.values())) if bad else dataset
    if not len(kept):
        raise nothing_usable(kept)
    return kept


def nothing_usable(dataset: Dataset) -> DataError:
    """Return the error for a source without a usable image, with the first reasons."""
    shown = "; ".join(f"{skipped.id}: {skipped.reason}" for skipped in dataset.skipped[:3])
    return DataError(
        f"{dataset.name}: no usable image, {len(dataset.skipped)} skipped ({shown}); "
        "check the paths, or replace the damaged files"
    )


def check_size(dataset: Dataset) -> None:
    """Check that a collection has enough items to learn from.

    Raises:
        DataError: If fewer than two items are usable; the message names the skipped ones.
    """
    if len(dataset) < 2:
        n, skipped = len(dataset), dataset.skipped
        why = "".join(f"; {one.id}: {one.reason}" for one in skipped[:3])
        left_out = f", {len(skipped)} skipped{why}" if skipped else ""
        raise DataError(f"{dataset.name} has {n} usable {dataset.kind}{'s' * (n != 1)}{left_out}; give at least 2")


def _fault(dataset: Dataset, row: int) -> str | None:
    try:
        dataset.image(row)
    except BadImage as error:
        return error.reason
    return None


def _unless_reserved(name: str, default: str) -> str:
    return default if name in RESERVED else name


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _take(values: Sequence[Any], rows: np.ndarray) -> Sequence[Any]:
    return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]


def _check_unique(ids: np.ndarray, name: str) -> None:
    if ids.dtype.kind in "iu" and len(ids) and ids[0] == 0 and (np.diff(ids) == 1).all():
        return  # row numbers; a set of them would take more memory than their vectors
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
        raise DataError(f"{name}: labels must be whole numbers in -1..{space.classes - 1}, one per item")
