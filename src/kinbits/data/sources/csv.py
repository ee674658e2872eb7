"""CSV and TSV tables, read as text: 007 and NA do not change; a column becomes numbers only if all cells are."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kinbits.errors import DataError

_INT = r"\A(?:0|-?[1-9][0-9]*)\z"
_FLOAT = r"\A-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\z"
_TOO_LONG = r"\A-?[0-9]{16}"  # integers that a float cannot represent
_DATE = r"\A[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}(?:[T ].*)?\z"
_BOOLS = (r"\A(?:true|false)\z", r"\A(?:True|False)\z", r"\A(?:TRUE|FALSE)\z")
_BLOCK = (1 << 20, 1 << 28)  # limits of the block size in bytes; a row must fit into one block


def read_csv(path: Path) -> Any:
    """Read a table with a header line; every column is text, and only an empty cell is missing.

    Args:
        path: Path of a UTF-8 file; the separator is a comma, or a tab in a ``.tsv`` file.

    Returns:
        A `pyarrow.Table` with string columns.

    Raises:
        DataError: If the file is not a UTF-8 table, or two columns have the same name.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow

    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    names = _header(path, delimiter)
    require_distinct(names, str(path))
    block = min(max(path.stat().st_size, _BLOCK[0]), _BLOCK[1])
    try:
        table = arrow.read_csv(
            path,
            read_options=arrow.ReadOptions(block_size=block),
            parse_options=arrow.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
            ),
        )
    except pa.ArrowException as error:
        raise _unreadable(path, str(error)) from None
    if table.column_names != names:
        raise _unreadable(path, "its header line is not plain CSV")
    return table


def typed(column: Any) -> Any:
    """Return a text column as int64, float64 or bool if all cells have this form, else unchanged.

    A column stays text if a number has a leading zero or underscores, is not finite, or does not fit 64 bits.

    Args:
        column: A `pyarrow.ChunkedArray` of strings.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count == len(column):
        return column
    try:
        if _all_match(column, _INT):
            return column.cast(pa.int64())
        if _all_match(column, _FLOAT) and not pc.any(pc.match_substring_regex(column, _TOO_LONG)).as_py():
            floats = column.cast(pa.float64())
            return floats if pc.all(pc.is_finite(floats)).as_py() else column
    except pa.ArrowInvalid:  # too large
        return column
    return column.cast(pa.bool_()) if any(_all_match(column, spelling) for spelling in _BOOLS) else column


def why_no_labels(column: Any) -> str | None:
    """Return the reason why a text column is probably not a label column; None if it can be one."""
    import pyarrow.types as types

    if types.is_floating(typed(column).type):
        return "it holds numbers with fractions"
    return "it holds dates" if _all_match(column, _DATE) else None


def require_distinct(names: Sequence[str], source: str) -> None:
    """Check that the column names of a table are unique.

    Raises:
        DataError: If two columns have the same name.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{source}: several columns are called {', '.join(map(repr, twice))}; rename all but one")


def _all_match(column: Any, pattern: str) -> bool:
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(column, pattern)).as_py())


def _header(path: Path, delimiter: str) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return next((row for row in csv.reader(file, delimiter=delimiter) if row), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, str(error)) from None


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(f"{path}: not a readable table ({why}); save it as UTF-8 with a header line")
