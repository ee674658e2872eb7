"""Sources of image files: list files, and lists of paths."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kinbits.data.dataset import Dataset, nothing_usable
from kinbits.data.file_names import id_of_path
from kinbits.data.items import PathItems
from kinbits.data.labels import LabelSpace
from kinbits.data.optional_readers import missing_reader
from kinbits.data.sources.columns import (
    Options,
    from_multi_hot,
    given_texts,
    label_array,
    to_labels,
    unique_names,
)
from kinbits.data.sources.walk import file_fault
from kinbits.errors import DataError

_LARGEST = 2**63
_DIGITS = 4000  # Python cannot parse integers with more digits


def require_file(path: Path, remedy: str) -> None:
    """Check that a path is a regular file, because reading from a pipe or a device can block forever.

    Args:
        path: The path.
        remedy: Last part of the error message, e.g. ``"give the path of a table"``.

    Raises:
        DataError: If the path does not exist, or is not a regular file.
    """
    if path.is_file():
        return
    if path.exists():
        raise DataError(f"{path} is a folder, a pipe or a device, not a file; {remedy}")
    raise DataError(f"no such file or folder: {path}; {remedy}")


def open_paths(paths: Sequence[str | os.PathLike[str]], options: Options, name: str = "files") -> Dataset:
    """Open a list of image files.

    Raises:
        DataError: If none of the files exists.
    """
    root = Path(options.root) if options.root is not None else Path()
    names = [_path_text(row, path, name) for row, path in enumerate(paths)]
    labels, space = label_array(options.labels, options, name)
    texts = given_texts(options, name)
    items = PathItems([root / given for given in names])
    if not len(items):
        raise DataError(f"{name}: the list of paths is empty; give at least one image")
    ids = unique_names([id_of_path(given) for given in names])
    return drop_missing(Dataset(items, ids, labels, space, texts, name=name), name)


def _path_text(row: int, path: object, source: str) -> str:
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise DataError(
            f"{source}: item {row} (counted from 0) is of type {type(path).__name__}; a list holds paths of images; "
            f"give vectors or pixels as one array (n, d) or (n, h, w, 3)"
        )
    return os.fsdecode(path)


def open_list(path: Path, options: Options) -> Dataset:
    """Open a list file of the field's protocols: ``path 0 1 0 ...`` or ``path 3`` lines.

    The labels of a list ``NAME_img.txt`` can be in ``NAME_label.txt`` in the same folder. Paths start from the folder
    of the list, or from ``root``. If every row has exactly one 1, the labels are single-label.

    Raises:
        DataError: If lines have different numbers of labels, or no file exists.
    """
    split = [_cut_line(line) for line in _list_lines(path)]
    if not split:
        raise DataError(f"{path}: the list is empty; write one 'path label' per line")
    names, rows = [name for name, _ in split], [row for _, row in split]
    width = len(rows[0])
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise DataError(
                f"{path}: item {number} has {len(row)} labels, the first has {width}; use one format per file"
            )
        if any(not -_LARGEST <= label < _LARGEST for label in row):
            raise DataError(f"{path}: item {number} has a label beyond 64 bits; number the classes from 0")
    table = np.array(rows, np.int64).reshape(len(rows), width)
    labels, space = (None, None) if options.unlabelled else _list_labels(table, options, str(path))
    root = Path(options.root) if options.root is not None else path.parent
    data = Dataset(PathItems([root / name for name in names]), unique_names(names), labels, space, name=path.stem)
    return drop_missing(data, f"{path} (paths start from {root}; another folder: root=)")


def drop_missing(data: Dataset, source: str) -> Dataset:
    """Return the collection without the rows whose file is missing or empty, or needs a package that is missing.

    Raises:
        DataError: If no row is left.
    """
    assert isinstance(data.items, PathItems)
    paths = [data.items.path(row) for row in range(len(data))]
    found = (file_fault(path) or missing_reader(path.suffix.lower()) for path in paths)
    faults = {row: fault for row, fault in enumerate(found) if fault is not None}
    kept = data.without(list(faults), list(faults.values())) if faults else data
    if not len(kept):
        raise DataError(f"{source}: {nothing_usable(kept)}")
    return kept


def read_text(path: Path) -> str:
    """Return a UTF-8 text file, without its byte-order mark.

    Raises:
        DataError: If the file is not UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); convert it") from None


def _list_lines(path: Path) -> list[str]:
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    label_file = path.with_name(path.name.replace("_img.", "_label."))
    if label_file == path or not label_file.is_file():
        return lines
    labels = [line for line in read_text(label_file).splitlines() if line.strip()]
    if len(labels) != len(lines):
        raise DataError(f"{label_file} has {len(labels)} lines and {path} has {len(lines)}; they must go in parallel")
    return [f"{line.strip()} {label}" for line, label in zip(lines, labels, strict=True)]


def _cut_line(line: str) -> tuple[str, list[int]]:
    """Split a line into the path, which may contain spaces, and the integers at its end."""
    parts = line.split()
    cut = len(parts)
    while cut > 1 and _is_integer(parts[cut - 1]):
        cut -= 1
    name = line.strip() if cut == len(parts) else line.strip().rsplit(None, len(parts) - cut)[0]
    return name, [int(part) for part in parts[cut:]]


def _is_integer(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isdigit() and digits.isascii() and len(digits) < _DIGITS


def _list_labels(rows: np.ndarray, options: Options, source: str) -> tuple[np.ndarray | None, LabelSpace | None]:
    if rows.shape[1] == 0:
        return None, None
    if rows.shape[1] == 1:
        return to_labels(rows[:, 0].tolist(), options, source)
    return from_multi_hot(rows, options.label_names, source)
