"""Making sense of table columns: which one is what, and what its values say as labels."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._errors import DataError, UsageError
from ._labels import UNLABELLED, LabelSpace

# fmt: off
IMAGE_NAMES = (
    "image", "img", "images", "picture", "photo", "bytes", "image_bytes", "path", "file_name", "filename",
    "file", "file_path", "filepath", "image_path", "img_path", "image_file",
)
LABEL_NAMES = ("label", "labels", "class", "class_name", "category", "target", "fine_label", "y")
TEXT_NAMES = ("text", "caption", "captions", "title", "sentence", "description")
ID_NAMES = (
    "id", "image_id", "name", "file_name", "filename", "path", "file_path", "filepath", "image_path",
)
# fmt: on


@dataclass(frozen=True)
class Options:
    """How to read a source; the keyword arguments of `open_dataset`, kept together.

    Args:
        image_column: Column of image bytes or paths.
        label_column: Column of labels, or several columns of 0/1, one a label.
        text_column: Column of texts.
        id_column: Column of unique names.
        label_names: Class names, the place is the label.
        label_separator: What stands between several labels in one cell, e.g. ``";"``.
        root: Folder that relative paths start from.
        split: Which split to read, where the source has named ones.
        labels: Labels given beside a source that holds none (arrays).
        texts: Texts given beside a source that holds none.
    """

    image_column: str | None = None
    label_column: str | Sequence[str] | None = None
    text_column: str | None = None
    id_column: str | None = None
    label_names: Sequence[str] | None = None
    label_separator: str | None = None
    root: Any = None
    split: str | None = None
    labels: Any = None
    texts: Sequence[str] | None = None


def pick(given: str | None, guesses: Sequence[str], columns: Sequence[str]) -> str | None:
    """Return the column that was asked for, else the first guess that exists (case ignored), else None.

    Raises:
        UsageError: The column that was asked for does not exist.
    """
    if given is not None:
        if given not in columns:
            raise UsageError(f"no column '{given}'; the columns are: {', '.join(columns)}")
        return given
    lower = {name.lower(): name for name in reversed(columns)}
    return next((lower[guess] for guess in guesses if guess in lower), None)


def pick_image(given: str | None, columns: Sequence[str], source: str) -> str:
    """Return the column of images or paths.

    Raises:
        DataError: None of the known names is among the columns.
    """
    found = pick(given, IMAGE_NAMES, columns)
    if found is None:
        told = pick(None, TEXT_NAMES, columns)
        alone = f" (texts without images, such as '{told}', go to HashModel.encode(text=...))" if told else ""
        raise DataError(
            f"{source}: no image column among {', '.join(columns)}; looked for {', '.join(IMAGE_NAMES)}; "
            f"name it with image_column=, on the command line --image-column{alone}"
        )
    return found


def to_labels(values: Sequence[Any], options: Options, source: str) -> tuple[np.ndarray, LabelSpace]:
    """Turn cells into labels.

    Whole numbers from 0 are kept as class numbers (-1 or an empty cell: unlabelled); names are sorted and
    numbered; lists, or cells cut at ``label_separator``, make a multi-label set.

    Args:
        values: One cell an item: int, str, None, or a list of int or str.
        options: ``label_names`` and ``label_separator`` are used.
        source: Named in errors.

    Raises:
        DataError: The cells are of mixed or unusable types, or not among ``label_names``.
    """
    cells = [_clean(value) for value in values]
    if options.label_separator:
        cells = [_cut(cell, options.label_separator) for cell in cells]
    if not any(isinstance(cell, list) for cell in cells):
        numbers_, names = _number(cells, options.label_names, source)
        return numbers_, LabelSpace(names)
    lists = [cell if isinstance(cell, list) else [] if cell is None else [cell] for cell in cells]
    flat, names = _number([label for cell in lists for label in cell], options.label_names, source)
    hot = np.zeros((len(lists), len(names)), np.uint8)
    rows = np.repeat(np.arange(len(lists)), [len(cell) for cell in lists])
    hot[rows[flat >= 0], flat[flat >= 0]] = 1
    return hot, LabelSpace(names, multi=True)


def from_multi_hot(rows: np.ndarray, names: Sequence[str] | None, source: str) -> tuple[np.ndarray, LabelSpace]:
    """Turn rows of 0 and 1 into labels: single-label when each row has exactly one 1, else multi-label.

    Args:
        rows: ``(n, C)`` of 0 and 1.
        names: C class names; the column numbers when None.
        source: Named in errors.

    Raises:
        DataError: Other values than 0 and 1, or the wrong number of names.
    """
    if not np.isin(rows, (0, 1)).all():
        raise DataError(f"{source}: a multi-hot label row may hold only 0 and 1")
    names = _names(names, rows.shape[1], source)
    if len(rows) and (rows.sum(axis=1) == 1).all():
        return rows.argmax(axis=1).astype(np.int64), LabelSpace(tuple(names))
    return rows.astype(np.uint8), LabelSpace(tuple(names), multi=True)


def label_array(labels: Any, options: Options, source: str) -> tuple[np.ndarray, LabelSpace]:
    """Read labels given as an array or list: int or str ``(n,)``, multi-hot ``(n, C)``, or lists.

    Raises:
        DataError: As `to_labels` and `from_multi_hot`.
    """
    if isinstance(labels, np.ndarray) and labels.ndim == 2:
        hot, space = from_multi_hot(labels, options.label_names, source)
        return hot, space
    return to_labels(labels.tolist() if isinstance(labels, np.ndarray) else list(labels), options, source)


def unique_names(names: Sequence[str]) -> np.ndarray:
    """Make names unique: a repeated one gets #2, #3, ... in order of occurrence."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        count = seen[name] = seen.get(name, 0) + 1
        result.append(name if count == 1 else f"{name}#{count}")
    return np.array(result if len(set(result)) == len(result) else _renumbered(names), dtype=np.str_)


def _renumbered(names: Sequence[str]) -> list[str]:
    """Fall back to the row number where a name itself looks like ``name#2``."""
    return [f"{name}#row{row}" for row, name in enumerate(names)]


def _clean(value: Any) -> Any:
    if isinstance(value, (list, tuple, np.ndarray)):
        return [cell for cell in map(_clean, value) if cell is not None]
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, str):
        return value.strip() or None
    return value


def _cut(cell: Any, separator: str) -> list[Any]:
    parts = str(cell).split(separator) if cell is not None else []
    return [part.strip() for part in parts if part.strip()]


def _number(cells: Sequence[Any], given: Sequence[str] | None, source: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a number for each cell, int64 with -1 where empty, and the names that they stand for."""
    present = [cell for cell in cells if cell is not None]
    if all(isinstance(cell, numbers.Real) and float(cell).is_integer() for cell in present):
        whole = np.array([UNLABELLED if cell is None else int(cell) for cell in cells], np.int64)
        return _class_numbers(whole, given, source)
    if not all(isinstance(cell, str) for cell in present):
        kinds = sorted({type(cell).__name__ for cell in present})
        raise DataError(f"{source}: labels of type {', '.join(kinds)}; give whole numbers or names")
    names = tuple(map(str, given)) if given is not None else tuple(sorted(set(present)))
    places = {name: place for place, name in enumerate(names)}
    unknown = [cell for cell in present if cell not in places]
    if unknown:
        raise DataError(f"{source}: label '{unknown[0]}' is not among the {len(names)} label_names")
    return np.array([UNLABELLED if c is None else places[c] for c in cells], np.int64), names


def _class_numbers(whole: np.ndarray, given: Sequence[str] | None, source: str) -> tuple[np.ndarray, tuple[str, ...]]:
    if len(whole) and whole.min() < UNLABELLED:
        raise DataError(f"{source}: label {whole.min()}; class numbers start at 0, and -1 means unlabelled")
    used = np.unique(whole[whole >= 0])
    top = int(used[-1]) + 1 if len(used) else 0
    if given is None and top > 10 * len(used) + 1000:
        # Article numbers and the like: a class for every number up to the largest would be mostly empty.
        return np.where(whole >= 0, np.searchsorted(used, whole), UNLABELLED), tuple(map(str, used))
    return whole, tuple(_names(given, top, source, at_least=True))


def _names(names: Sequence[str] | None, count: int, source: str, *, at_least: bool = False) -> Sequence[str]:
    if names is None:
        return [str(number) for number in range(count)]
    if len(names) < count or (len(names) > count and not at_least):
        raise DataError(f"{source}: {len(names)} label_names for {count} classes; give one name a class")
    return [str(name) for name in names]
