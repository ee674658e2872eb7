"""List files of published protocols: ``path 0 1 0 ...``, ``path 3``, or paths and labels in parallel files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinbits._util import parse_int
from kinbits.data.sources.files import read_text
from kinbits.errors import DataError


@dataclass(frozen=True)
class ListFile:
    """Contents of a list file.

    Attributes:
        path: Path of the list file.
        images: The n image paths in the file, with forward slashes.
        labels: Integers ``(n, C)`` as in the file; ``(n, 0)`` for a list without labels.
    """

    path: Path
    images: tuple[str, ...]
    labels: np.ndarray

    @property
    def names(self) -> list[str]:
        """File names without folders, since the folders differ between copies of a list."""
        return [image.rpartition("/")[2] for image in self.images]


def read_list(path: Path) -> ListFile:
    """Read a list of ``path label ...`` lines, or of paths with the labels in a parallel file.

    The labels of ``NAME_img.txt`` are in ``NAME_label.txt`` in the same folder. Paths contain no spaces.

    Raises:
        DataError: If the file is missing or empty, lines have different numbers of labels, a label is not an integer,
            or the two files have different lengths.
    """
    lines = _lines(path)
    label_file = path.with_name(path.name.replace("_img.", "_label."))
    if label_file == path:
        pairs = [line.split(None, 1) for line in lines]
        tails = [pair[1].rstrip() if len(pair) > 1 else "" for pair in pairs]
        return ListFile(path, _images(pair[0] for pair in pairs), _labels(tails, path))
    labels = read_lines(label_file)
    if len(labels) != len(lines):
        raise DataError(
            f"{label_file} has {len(labels):,} lines and {path} has {len(lines):,}; they must go in parallel"
        )
    return ListFile(path, _images(line.strip() for line in lines), _labels(labels, label_file))


def read_keyed(path: Path) -> dict[str, str]:
    """Read ``key value`` lines, as in CUB-200-2011 and Clothing1M; the value is the rest of the line.

    Raises:
        DataError: If a line has no value, or a key occurs twice.
    """
    pairs = [row.split(None, 1) for row in _lines(path)]
    short = next((number for number, pair in enumerate(pairs, 1) if len(pair) < 2), None)
    if short is not None:
        raise DataError(f"{path}: line {short} has no value after its key; get the original file")
    values = dict(pairs)
    if len(values) < len(pairs):
        raise DataError(f"{path}: {len(pairs) - len(values)} keys occur twice; get the original file")
    return values


def read_lines(path: Path) -> list[str]:
    """Return the stripped lines of a text file, without empty ones.

    Raises:
        DataError: If the file is missing, empty, or not UTF-8 text.
    """
    return [line.strip() for line in _lines(path)]


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise DataError(f"no such list: {path}; put it there")
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{path}: the list is empty; get the original file")
    return lines


def _images(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(path.replace("\\", "/") for path in paths)


def _labels(tails: list[str], path: Path) -> np.ndarray:
    """Parse the labels of all lines: integers, the same number in each line."""
    binary = _zeros_and_ones(tails)
    if binary is not None:
        return binary
    rows = [tail.split() for tail in tails]
    width = len(rows[0])
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise DataError(
                f"{path}: line {number} has {len(row)} labels, the first has {width}; use one format per file"
            )
    try:
        labels = [list(map(parse_int, row)) for row in rows]
        return np.array(labels, np.int64).reshape(len(rows), width)
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"{path}: a label is not a whole number ({error}); write 'path 0 1 0 ...' or 'path 3' lines"
        ) from None


def _zeros_and_ones(tails: list[str]) -> np.ndarray | None:
    """Parse rows of ``0 1 0 ...`` as one block of bytes, 20 times faster; None if a row has another form."""
    width = len(tails[0]) + 1
    block = np.frombuffer(("\n".join(tails) + "\n").encode(), np.uint8)
    if width % 2 or len(block) != len(tails) * width:
        return None
    grid = block.reshape(len(tails), width)
    digits, blanks, ends = grid[:, ::2] - ord("0"), grid[:, 1:-1:2], grid[:, -1]
    plain = (digits <= 1).all() and (blanks == ord(" ")).all() and (ends == ord("\n")).all()
    return digits.astype(np.int8) if plain else None
