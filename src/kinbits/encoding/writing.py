"""Writing of files of codes: Parquet, or hexadecimal text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kinbits._util import check_parent, file_aside, full_path, named_extras
from kinbits.encoding.codes_file import CodesFile
from kinbits.encoding.places import relative_places
from kinbits.encoding.rows import CODE
from kinbits.encoding.text_files import LINES, SIGNALS, TABLE, Rows, write_text_codes
from kinbits.errors import UsageError, platform_error
from kinbits.hamming import BITS, kind_name
from kinbits.perceptual import HASHES, LEAST_QUALITY, QUALITY

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET = ".parquet"
_ENDINGS = (PARQUET, TABLE, LINES, SIGNALS)


def check_codes_path(path: str | os.PathLike[str]) -> None:
    """Refuse the path of a file of codes that cannot be written, before any work is done for it.

    Raises:
        UsageError: If the name has another extension, or is a folder.
        PlatformError: If its folder cannot be written.
    """
    target = full_path(path)
    if target.suffix not in _ENDINGS or target.is_dir():
        raise UsageError(f"codes cannot be written to {path}; give a name that ends in {', '.join(_ENDINGS)}")
    check_parent(target, "place")


def check_text(target: Path, words: int, fingerprint: str | None) -> None:
    """Refuse codes that a text file cannot hold.

    Raises:
        UsageError: If they are no bits, or signals are to be written and they are no PDQ hashes.
    """
    if target.suffix != PARQUET and words != BITS:
        raise UsageError(
            f"{kind_name(words)} need a file that says what they are, not {target.name}; end it in {PARQUET}"
        )
    if target.suffix == SIGNALS and fingerprint != HASHES["pdq"].fingerprint:
        raise UsageError(
            f"{target.name} would hold signals, which are of model pdq; end the name in {LINES} or {TABLE}"
        )


@named_extras()
def write_codes(path: str | os.PathLike[str], codes: CodesFile) -> None:
    """Write a file of codes, complete or not at all, in the form that its ending names.

    ``.parquet`` holds everything; a column ``code`` is left out. ``.csv`` is a table with the columns ``id``, ``code``
    in hexadecimal digits, and metadata; ``.hex`` has one code a line, in order, without ids. ``.txt`` has one signal of
    ThreatExchange a line, such as ``pdq f8f8...``, of codes of model pdq; hashes of a quality below 50 are left out.

    Raises:
        UsageError: If the length of the codes is not known, the name has another ending, or that kind of file cannot
            hold the codes.
        DataError: If an id occurs twice, or ids or metadata cannot be stored.
        PlatformError: If it cannot be written, or pyarrow is not installed; an older file stays.
    """
    if not isinstance(codes, CodesFile):
        raise UsageError(
            f"write_codes takes a CodesFile, not {type(codes).__name__}; make one: CodesFile(codes, ids, bits)"
        )
    check_codes_path(path)
    target = full_path(path)
    if target.suffix != PARQUET:
        check_text(target, codes.words, codes.fingerprint)
        others = {name: values for name, values in codes.columns.items() if name not in ("id", CODE)}
        write_text_file(target, [Rows(codes.ids.tolist(), codes.codes, others)])
        return
    write_table(target, codes.to_table(**relative_places(target, {"model": codes.model, "root": codes.root})))


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file, complete or not at all.

    Raises:
        PlatformError: If it cannot be written.
    """
    import pyarrow.parquet as pq

    try:
        with file_aside(path) as aside:
            pq.write_table(table, aside)
    except OSError as error:
        raise platform_error(f"{path} cannot be written", error) from None


def write_text_file(path: Path, parts: Iterable[Rows]) -> None:
    """Write a text file of codes, complete or not at all.

    Raises:
        PlatformError: If it cannot be written.
    """
    try:
        with file_aside(path) as aside:
            write_text_codes(aside, _worth_sharing(parts) if path.suffix == SIGNALS else parts)
    except OSError as error:
        raise platform_error(f"{path} cannot be written", error) from None


def rows_of_table(table: pa.Table) -> Rows:
    """Return the rows of a table of codes, as `CodesFile.to_table` lays it out."""
    columns = {name: table[name].to_pylist() for name in table.column_names}
    ids, codes = columns.pop("id"), columns.pop(CODE)
    return Rows(ids, np.frombuffer(b"".join(codes), np.uint8).reshape(len(codes), table[CODE].type.byte_width), columns)


def _worth_sharing(parts: Iterable[Rows]) -> Iterator[Rows]:
    """Yield codes without those of a low quality, as ThreatExchange leaves them out."""
    for part in parts:
        kept = np.ones(len(part.codes), bool)
        if QUALITY in part.columns:
            kept = np.array([value is None or value >= LEAST_QUALITY for value in part.columns[QUALITY]], bool)
        yield Rows([], part.codes[kept], {})
