"""The CSV file of results: its rows are checked when they are read, because people edit such files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path

from kinbits._util import read_regular, shortened, write_text
from kinbits.errors import ArtefactError, platform_error

Record = dict[str, str]  # a row of the results: column -> text

FLOAT = "float"
"""The number of bits of what has no code, such as the uncompressed features."""

_WIDTH = 60  # of a list of columns in an error
_AGAIN = "mend the line, or delete it: its trial is then run again"


def read_rows(path: Path, columns: Sequence[str], measured: Iterable[str], later: Collection[str] = ()) -> list[Record]:
    """Read the rows of a file of results; a byte order mark, as spreadsheets write it, is skipped.

    Args:
        path: The CSV file.
        columns: All columns, in the order of the file.
        measured: Columns of numbers; a cell may be empty where there was nothing to measure.
        later: Columns that an older file may lack, all of them; their cells then read as empty.

    Raises:
        ArtefactError: If the file has another form; the message names the line.
        PlatformError: If the file cannot be read.
    """
    reader = csv.reader(StringIO(_text(path), newline=""), strict=True)
    try:
        lines = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise ArtefactError(f"{path}, line {reader.line_num}: {error}; {_AGAIN}") from None
    header = lines[0][1] if lines else []
    older = [name for name in columns if name not in later]
    if header not in (list(columns), older):
        raise ArtefactError(
            f"{path}, line 1: {_difference(header, columns)}; choose another file, or move that one away"
        )
    kinds: dict[str, tuple[Callable[[str], bool], str]] = {
        "bits": (lambda cell: cell == FLOAT or cell.isdecimal(), f"give a whole number, or '{FLOAT}'"),
        "seed": (str.isdecimal, "give a whole number"),
        **dict.fromkeys(measured, (lambda cell: not cell or _is_number(cell), "give a number such as 0.25")),
    }
    rows = []
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise ArtefactError(f"{path}, line {number} has {len(cells)} cells, not {len(header)}; {_AGAIN}")
        row = {**dict.fromkeys(columns, ""), **dict(zip(header, cells, strict=True))}
        for name, (fits, remedy) in kinds.items():
            if not fits(row[name]):
                told = shortened(repr(row[name]), _WIDTH)
                raise ArtefactError(f"{path}, line {number}: {name} is {told}; {remedy}, or delete the line")
        rows.append(row)
    return rows


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a CSV file anew, aside.

    Raises:
        PlatformError: If the file cannot be written.
    """
    text = StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _text(path: Path) -> str:
    try:
        data = read_regular(path)
    except OSError as error:
        raise platform_error(f"{path} cannot be read", error) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ArtefactError(f"{path}, line {line} is no UTF-8 text; save the file as CSV in UTF-8") from None


def _difference(header: Sequence[str], columns: Sequence[str]) -> str:
    """Tell how the columns of a file differ from those of the experiment."""
    lacks = shortened(", ".join(name for name in columns if name not in header), _WIDTH)
    others = shortened(", ".join(name for name in header if name not in columns), _WIDTH)
    parts = [*([f"lacks the columns {lacks}"] if lacks else []), *([f"has the columns {others}"] if others else [])]
    return f"the file {' and '.join(parts)}" if parts else "the columns are in another order, or given twice"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
