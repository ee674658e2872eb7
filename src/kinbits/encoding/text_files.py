"""Codes as hexadecimal text: lines of codes, tables with id and code, and the signals of ThreatExchange."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kinbits._util import open_regular, read_regular
from kinbits.encoding.rows import CODE
from kinbits.encoding.signals import ANY_SIGNAL, SIGNAL_LINE, TYPE, VALUE, signals_of
from kinbits.errors import DataError
from kinbits.hamming import from_hex, to_hex

TEXTS = TABLE, LINES, SIGNALS = ".csv", ".hex", ".txt"
_HEX_LINE = re.compile(r"(?:[0-9a-fA-F]{2}){4,}", re.ASCII)
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}", re.ASCII)
_START = 1 << 16  # bytes that tell what a file holds


class TextCodes(NamedTuple):
    """What a text file of codes holds.

    Attributes:
        ids: int64 or str ``(n,)``.
        codes: Packed, uint8 ``(n, w)``.
        columns: Metadata by name.
        hash_name: Name of the perceptual hash that the codes are of, if the file says it.
        left_out: Numbers of signals that are no codes, by type.
    """

    ids: np.ndarray
    codes: np.ndarray
    columns: Mapping[str, Sequence[Any]] = {}
    hash_name: str | None = None
    left_out: Mapping[str, int] = {}


class Rows(NamedTuple):
    """Codes to be written, uint8 ``(n, w)``, with their ids and metadata."""

    ids: Sequence[Any]
    codes: np.ndarray
    columns: Mapping[str, Sequence[Any]]


def holds_text_codes(path: Path) -> bool:
    """Tell by its ending and first lines whether a file holds codes as text.

    A ``.hex`` file does. A ``.txt`` file does if its first line is a code of 32 bits or more, or a signal. A ``.csv``
    file does if it has the columns of signals, or ``id`` and ``code`` with hexadecimal digits, and none that looks like
    images.
    """
    if path.suffix not in TEXTS or not path.is_file():
        return False
    if path.suffix == LINES:
        return True
    try:
        with open(open_regular(path), "rb") as file:
            start = file.read(_START).decode("utf-8-sig", "ignore")
    except OSError:
        return False
    if path.suffix == TABLE:
        return _is_table_of_codes(start)
    first = next((line.strip() for line in start.splitlines() if line.strip()), "")
    return bool(_HEX_LINE.fullmatch(first) or SIGNAL_LINE.fullmatch(first))


def _is_table_of_codes(start: str) -> bool:
    from kinbits.data import find_image_column

    try:
        rows = csv.reader(start.splitlines())
        header, first = next(rows, []), next(rows, [])
    except csv.Error:
        return False
    if TYPE in header and VALUE in header:
        return True
    if header.count(CODE) != 1 or header.count("id") != 1 or find_image_column(header) is not None:
        return False
    return len(first) == len(header) and re.fullmatch("(?:[0-9a-fA-F]{2})+", first[header.index(CODE)]) is not None


def read_text_codes(path: Path) -> TextCodes:
    """Read a text file of codes.

    Raises:
        DataError: If a line is no code.
        OSError: If it cannot be read.
    """
    if path.suffix == TABLE:
        return _read_table(path)
    try:
        lines = [line.strip() for line in read_regular(path).decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise DataError(f"it is no UTF-8 text (byte {error.start}); write one code a line") from None
    lines = [line for line in lines if line]
    if lines and SIGNAL_LINE.fullmatch(lines[0]):
        for number, line in enumerate(lines, 1):
            if not ANY_SIGNAL.fullmatch(line):
                raise DataError(
                    f"line {number} is no signal; write a type in small letters and a value, as in 'pdq 0f1e…'"
                )
        return _of_signals([line.partition(" ")[::2] for line in lines], {})
    return TextCodes(np.arange(len(lines)), from_hex(lines))


def _read_table(path: Path) -> TextCodes:
    from kinbits.data import read_metadata

    try:
        with open(open_regular(path), encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if {TYPE, VALUE} <= set(reader.fieldnames or ()):
                rows = list(reader)
                others = [name for name in reader.fieldnames or () if name not in (TYPE, VALUE)]
                found = [(row[TYPE] or "", row[VALUE] or "") for row in rows]
                return _of_signals(found, {name: [row[name] for row in rows] for name in others})
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"it is no table in UTF-8 ({error})") from None
    ids, columns = read_metadata(path, "id", [CODE])
    if CODE not in columns:
        raise DataError("it has no column 'code'; give a table with the columns id and code")
    return TextCodes(_as_ids(ids), from_hex(columns.pop(CODE)), columns)


def _of_signals(signals: Sequence[tuple[str, str]], columns: Mapping[str, Sequence[str | None]]) -> TextCodes:
    found = signals_of(signals, columns)
    return TextCodes(np.array(found.values, np.str_), from_hex(found.values, 256), found.columns, "pdq", found.left_out)


def _as_ids(texts: Sequence[str]) -> np.ndarray:
    """Return ids as numbers, if all are written as such."""
    return np.array(texts, np.int64 if all(map(_NUMBER.fullmatch, texts)) else np.str_)


def write_text_codes(path: Path, parts: Iterable[Rows]) -> None:
    """Write codes as text in the form that the ending of the file names; the file is there already.

    Raises:
        OSError: If it cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix != TABLE:
            start = "pdq " if path.suffix == SIGNALS else ""
            file.writelines(f"{start}{code}\n" for part in parts for code in to_hex(part.codes))
            return
        writer = csv.writer(file, lineterminator="\n")
        for number, part in enumerate(parts):
            if not number:
                writer.writerow(["id", CODE, *part.columns])
            writer.writerows(_cells(part))


def _cells(part: Rows) -> Iterator[list[Any]]:
    for name, code, *values in zip(part.ids, to_hex(part.codes), *part.columns.values(), strict=True):
        yield [name, code, *(str(value).lower() if isinstance(value, bool) else value for value in values)]
