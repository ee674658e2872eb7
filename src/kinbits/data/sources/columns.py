"""Columns of tables: usual names of columns, and conversion of cells to labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinbits._util import shortened
from kinbits.data.labels import UNLABELLED, LabelSpace
from kinbits.data.sources.cells import as_text, cell_in_row, to_texts
from kinbits.errors import DataError, UsageError

# fmt: off
IMAGE_NAMES = (
    "image", "img", "images", "picture", "photo", "bytes", "image_bytes", "path", "file_name", "filename",
    "file", "file_path", "filepath", "image_path", "img_path", "image_file",
)
VECTOR_NAMES = ("vector", "vectors", "embedding", "embeddings", "features")
LABEL_NAMES = ("label", "labels", "class", "class_name", "category", "target", "fine_label", "y")
TEXT_NAMES = ("text", "caption", "captions", "title", "sentence", "description")
ID_NAMES = (
    "id", "image_id", "name", "file_name", "filename", "path", "file_path", "filepath", "image_path",
)
# fmt: on
PATH_TABLE_ID_NAMES = ("id", "image_id", "sku")
"""Id columns of a table of image paths. They are used if all cells differ; otherwise the paths are the ids."""

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_SHOWN = 8


@dataclass(frozen=True)
class Options:
    """Options for reading a source: the keyword arguments of `open_dataset`.

    Attributes:
        image_column: Column of image bytes or of paths.
        vector_column: Column of vectors.
        label_column: Column of labels, or several columns of 0/1, one per label.
        text_column: Column of texts.
        id_column: Column of unique names.
        label_names: Class names in the order of the class numbers.
        label_separator: Separator of several labels in one cell, e.g. ``";"``.
        root: Folder that relative paths start from.
        split: Name of the split to read; None reads all.
        labels: Labels for a source without labels (arrays); False ignores all labels.
        texts: Texts for a source without texts.
        include_hidden: Whether a folder is read with its hidden and system files.

    Raises:
        UsageError: If ``labels=False`` is combined with ``label_column``, or both images and vectors are named.
    """

    image_column: str | None = None
    vector_column: str | None = None
    label_column: str | Sequence[str] | None = None
    text_column: str | None = None
    id_column: str | None = None
    label_names: Sequence[str] | None = None
    label_separator: str | None = None
    root: Any = None
    split: str | None = None
    labels: Any = None
    texts: Sequence[Any] | None = None
    include_hidden: bool = False

    def __post_init__(self) -> None:
        if self.labels is False and self.label_column is not None:
            raise UsageError("no labels are to be taken, and label_column names some; give one of the two")
        if self.image_column is not None and self.vector_column is not None:
            raise UsageError("image_column and vector_column both name what is read; give one of the two")

    @property
    def item_column(self) -> str | None:
        """The column of images or of vectors, whichever is named."""
        return self.image_column if self.vector_column is None else self.vector_column

    def wrong_items(self, source: str, holds: str) -> DataError:
        """Build the error for a named column that does not hold what it is named as.

        Args:
            source: Name of the source.
            holds: What the column holds.
        """
        wanted, other = "images or paths", "vectors are named by vector_column"
        if self.vector_column is not None:
            wanted, other = "vectors (lists of numbers)", "images and paths are named by image_column"
        return DataError(f"{source}: column '{self.item_column}' holds {holds}, not {wanted}; {other}")

    @property
    def unlabelled(self) -> bool:
        """Whether all labels are ignored."""
        return self.labels is False


def find_image_column(columns: Sequence[str]) -> str | None:
    """Return the column that holds images, judged by its name; None if no name fits.

    Args:
        columns: Names of all columns.

    Example:
        >>> find_image_column(["id", "Photo"])
        'Photo'
    """
    return find_column(None, IMAGE_NAMES, columns)


def find_text_column(columns: Sequence[str]) -> str | None:
    """Return the column that holds texts, judged by its name; None if no name fits."""
    return find_column(None, TEXT_NAMES, columns)


def find_vector_column(columns: Sequence[str]) -> str | None:
    """Return the column that holds vectors, judged by its name; None if no name fits."""
    return find_column(None, VECTOR_NAMES, columns)


def find_label_column(columns: Sequence[str], given: str | None = None) -> str | None:
    """Return the label column: the given one, or else the first with a usual name, such as ``label`` or ``class``.

    Args:
        columns: Names of all columns.
        given: Name that the user gave; None finds the column by its name.

    Raises:
        UsageError: If the given column does not exist.
    """
    return find_column(given, LABEL_NAMES, columns)


def find_column(given: str | None, guesses: Sequence[str], columns: Sequence[str]) -> str | None:
    """Return the given column, or else the first usual name that exists (case ignored), or else None.

    Raises:
        UsageError: If the given column does not exist.
    """
    if given is not None:
        if given not in columns:
            raise UsageError(f"no column '{given}'; the columns are: {', '.join(columns)}")
        return given
    return next(iter(matching_columns(guesses, columns)), None)


def matching_columns(guesses: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return the columns that have one of the guessed names (case ignored), in the order of the guesses."""
    lower = {name.lower(): name for name in reversed(columns)}
    return [lower[guess] for guess in guesses if guess in lower]


def to_labels(values: Sequence[Any], options: Options, source: str) -> tuple[np.ndarray, LabelSpace]:
    """Return cells as labels, with their label space.

    - Integers from 0 are class numbers; -1 or an empty cell means unlabelled.
    - Texts are class names, also in digits, as in a CSV table. Names are sorted; numbers are sorted by value.
    - With ``label_names``, texts in digits are class numbers.
    - Lists, or cells with a ``label_separator``, give multi-label data.
    - Lists of equal length with only 0 and 1 are multi-hot rows.

    Args:
        values: One cell per item: int, str, None, or a list of int or str.
        options: Options; only ``label_names`` and ``label_separator`` are used.
        source: Name of the source in errors.

    Returns:
        int64 ``(n,)``, or multi-hot uint8 ``(n, C)``; and the label space.

    Raises:
        DataError: If a cell has another type, numbers and names are mixed, or a label is not among ``label_names``.
    """
    cells = [_clean(value) for value in values]
    if _are_multi_hot(cells):
        return from_multi_hot(np.array(cells, np.int64), options.label_names, source)
    if options.label_separator:
        cells = [_cut(cell, options.label_separator) for cell in cells]
    numbered = _check_cells(cells, source)
    if not numbered and options.label_names is not None and _in_digits(cells, options.label_names):
        cells = [_as_number(cell) for cell in cells]
        numbered = True
    number = _class_numbers if numbered else _name_numbers
    if not any(isinstance(cell, list) for cell in cells):
        labels, names = number(cells, options.label_names, source)
        return labels, LabelSpace(names)
    lists = [cell if isinstance(cell, list) else [] if cell is None else [cell] for cell in cells]
    flat, names = number([label for cell in lists for label in cell], options.label_names, source)
    hot = np.zeros((len(lists), len(names)), np.uint8)
    rows = np.repeat(np.arange(len(lists)), [len(cell) for cell in lists])
    hot[rows[flat >= 0], flat[flat >= 0]] = 1
    return hot, LabelSpace(names, multi=True)


def from_multi_hot(rows: np.ndarray, names: Sequence[str] | None, source: str) -> tuple[np.ndarray, LabelSpace]:
    """Return rows of 0 and 1 as labels: single-label if each row has exactly one 1, else multi-label.

    Args:
        rows: ``(n, C)`` of 0 and 1.
        names: C class names; None uses the column numbers.
        source: Name of the source in errors.

    Raises:
        DataError: If a value is neither 0 nor 1, or the number of names is wrong.
    """
    wrong = ~np.isin(rows, (0, 1))
    if wrong.any():
        row, label = np.argwhere(wrong)[0]
        raise DataError(
            f"{source}: label {label} of row {row} (counted from 0) is {shortened(str(rows[row, label]), 80)}; a "
            f"multi-hot row may hold only 0 and 1"
        )
    rows = rows.astype(np.uint8)
    names = _names(names, rows.shape[1], source)
    if len(rows) and (rows.sum(axis=1) == 1).all():
        return rows.argmax(axis=1).astype(np.int64), LabelSpace(tuple(names))
    return rows, LabelSpace(tuple(names), multi=True)


def label_array(labels: Any, options: Options, source: str) -> tuple[np.ndarray | None, LabelSpace | None]:
    """Return labels from an array or list: int or str ``(n,)`` or ``(n, 1)``, multi-hot ``(n, C)``, or lists.

    Returns:
        The labels and their label space; ``(None, None)`` without labels.

    Raises:
        UsageError: If the labels are not a list or array.
        DataError: If the values are not valid labels.
    """
    if labels is None or labels is False:
        return None, None
    if isinstance(labels, (str, bytes)) or not hasattr(labels, "__iter__"):
        raise UsageError(f"{source}: labels are {labels!r}; give one for each item, or False for none")
    require_order(labels, "labels", source)
    if not isinstance(labels, np.ndarray):
        return to_labels(list(labels), options, source)
    if labels.ndim == 2 and labels.shape[1] != 1:
        return from_multi_hot(labels, options.label_names, source)
    if labels.ndim not in (1, 2):
        raise DataError(f"{source}: labels of shape {labels.shape}; give (n,), or multi-hot (n, C)")
    return to_labels(labels.ravel().tolist(), options, source)


def given_texts(options: Options, source: str) -> tuple[str, ...] | None:
    """Return the texts of the option ``texts``; None without them.

    Raises:
        UsageError: If the texts are not a list.
        DataError: If an element is not a text.
    """
    if options.texts is None:
        return None
    require_order(options.texts, "texts", source)
    return to_texts(list(options.texts), source)


def require_order(values: Any, what: str, source: str) -> None:
    """Check that values have an order, so that each belongs to one item.

    Raises:
        UsageError: If the values are a set, a mapping, a text or bytes.
    """
    if isinstance(values, (str, bytes, Set, Mapping)):
        raise UsageError(f"{source}: {what} are a {type(values).__name__}; give a list, one of them for each item")


def unique_names(names: Sequence[str]) -> np.ndarray:
    """Return unique names: repeated names get the suffix #2, #3, ... in order of occurrence."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        count = seen[name] = seen.get(name, 0) + 1
        result.append(name if count == 1 else f"{name}#{count}")
    return np.array(result if len(set(result)) == len(result) else _renumbered(names), dtype=np.str_)


def _renumbered(names: Sequence[str]) -> list[str]:
    """Return names with the row number as suffix, for the case that a name looks like ``name#2``."""
    return [f"{name}#row{row}" for row, name in enumerate(names)]


def named_classes(space: LabelSpace, origin: str) -> str:
    """Return a description with the number of classes, their origin, and the first names."""
    more = ", ..." if space.classes > _SHOWN else ""
    kind = "labels" if space.multi else "classes" if space.classes != 1 else "class"
    return f"{space.classes:,} {kind} from {origin}: {', '.join(space.names[:_SHOWN])}{more}"


def _clean(value: Any) -> Any:
    """Return a cell as int, str, None or a list of these; other types are returned unchanged."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return [cell for cell in map(_clean, value) if cell is not None]
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float):
        return None if np.isnan(value) else int(value) if value.is_integer() else value
    if isinstance(value, (str, bytes)):
        return (as_text(value) or "").strip() or None
    return value


def _cut(cell: Any, separator: str) -> list[Any]:
    if isinstance(cell, list):
        return cell
    parts = str(cell).split(separator) if cell is not None else []
    return [part.strip() for part in parts if part.strip()]


def _each(cell: Any) -> list[Any]:
    return cell if isinstance(cell, list) else [] if cell is None else [cell]


def _are_multi_hot(cells: Sequence[Any]) -> bool:
    """Return whether all cells are lists of equal length with only 0, 1 and -1.

    As class numbers, these values would give nearly every item the same labels.
    """
    lengths = {len(cell) if isinstance(cell, list) else 0 for cell in cells}
    return len(lengths) == 1 and min(lengths) > 1 and all(one in (-1, 0, 1) for cell in cells for one in cell)


def _check_cells(cells: Sequence[Any], source: str) -> bool:
    """Check the types of all labels, and return whether they are numbers.

    Raises:
        DataError: If a cell is neither an integer nor a name, or if both occur.
    """
    kinds: set[type] = set()
    for row, cell in enumerate(cells):
        for one in _each(cell):
            kinds.add(str if isinstance(one, str) else int)
            if not isinstance(one, (str, int)) or len(kinds) > 1:
                also = "; labels before it are of another kind" if len(kinds) > 1 else ""
                raise DataError(f"{source}: {cell_in_row('label', row, one)}{also}; give whole numbers, or names")
    return kinds != {str}


def _in_digits(cells: Sequence[Any], names: Sequence[str]) -> bool:
    """Return whether all labels are integers in digits, and some of them are not class names."""
    labels = {one for cell in cells for one in _each(cell)}
    return not labels <= set(map(str, names)) and all(_WHOLE.fullmatch(one) for one in labels)


def _as_number(cell: Any) -> Any:
    return [int(one) for one in cell] if isinstance(cell, list) else None if cell is None else int(cell)


def _name_numbers(cells: Sequence[Any], given: Sequence[str] | None, source: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the class number of each name, int64 with -1 for an empty cell, and the class names."""
    present = {cell for cell in cells if cell is not None}
    names = tuple(map(str, given)) if given is not None else _sorted(present)
    numbers = {name: number for number, name in enumerate(names)}
    unknown = next((cell for cell in cells if cell is not None and cell not in numbers), None)
    if unknown is not None:
        raise DataError(f"{source}: label '{unknown}' is not among the {len(names)} label_names")
    return np.array([UNLABELLED if cell is None else numbers[cell] for cell in cells], np.int64), names


def _sorted(names: set[str]) -> tuple[str, ...]:
    """Sort names; by value if all are integers."""
    if all(_WHOLE.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _class_numbers(
    cells: Sequence[Any], given: Sequence[str] | None, source: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return class numbers, int64 with -1 for an empty cell, and the class names."""
    if given is None and {type(cell) for cell in cells} - {type(None)} == {bool}:
        return np.array([UNLABELLED if c is None else int(c) for c in cells], np.int64), ("false", "true")
    used = sorted({int(cell) for cell in cells if cell is not None} - {UNLABELLED})
    if used and used[0] < UNLABELLED:
        raise DataError(f"{source}: label {used[0]}; class numbers start at 0, and -1 means unlabelled")
    top = used[-1] + 1 if used else 0
    if given is None and top > 10 * len(used) + 1000:
        # Large numbers, such as article numbers, are renumbered: most classes up to the largest would be empty.
        classes = {number: label for label, number in enumerate(used)}
        return np.array([classes.get(cell, UNLABELLED) for cell in cells], np.int64), tuple(map(str, used))
    names = tuple(_names(given, top, source, at_least=True))
    return np.array([UNLABELLED if cell is None else int(cell) for cell in cells], np.int64), names


def _names(names: Sequence[str] | None, count: int, source: str, *, at_least: bool = False) -> Sequence[str]:
    if names is None:
        return [str(number) for number in range(count)]
    if len(names) < count or (len(names) > count and not at_least):
        raise DataError(f"{source}: {len(names)} label_names for {count} classes; give one name per class")
    return [str(name) for name in names]
