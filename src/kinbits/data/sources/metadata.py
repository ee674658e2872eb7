"""Reader of metadata tables: a column of ids and further columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from kinbits._util import open_arrow, parse_json, read_regular, shortened
from kinbits.data.sources.cells import cells_of, to_metadata
from kinbits.data.sources.csv import read_csv, require_distinct, typed
from kinbits.data.sources.files import require_file
from kinbits.errors import DataError, UsageError


def read_metadata(path: Path, id_column: str | None, texts: Collection[str]) -> tuple[list[str], dict[str, list[Any]]]:
    """Read a table of metadata.

    Args:
        path: A ``.csv``, ``.tsv``, ``.parquet`` or ``.jsonl`` file.
        id_column: Column of ids; None uses the column ``id``.
        texts: Columns of a CSV table that stay text even if all cells are numbers.

    Returns:
        The ids as text, and the other columns by name.

    Raises:
        UsageError: If the file has another type, or the id column does not exist.
        DataError: If the file cannot be read, or an id is empty or occurs twice.
    """
    readers = {".csv": _from_csv, ".tsv": _from_csv, ".parquet": _from_parquet, ".jsonl": _from_jsonl}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise UsageError(f"{path} is not a table of metadata; give a file that ends in {', '.join(readers)}")
    require_file(path, "give the path of a table")
    try:
        columns = read(path, id_column, texts)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); give the path of a table") from None
    name = _id_column(id_column, list(columns), path)
    ids = _ids(columns.pop(name), path)
    metadata = {}
    for other, cells in columns.items():
        values, _ = to_metadata(cells)
        if values is None:
            raise DataError(f"{path}: column '{other}' holds long binary values; leave it out")
        metadata[other] = values
    if not metadata or not ids:
        raise DataError(f"{path} has {'no row' if metadata else 'no column except the ids'}; nothing would change")
    return ids, metadata


def _id_column(given: str | None, names: list[str], path: Path) -> str:
    wanted = [name for name in names if name == (given or name) and (given or name.lower() == "id")]
    if len(wanted) == 1:
        return wanted[0]
    raise UsageError(f"{path} has no column '{given or 'id'}'; name the column of ids (id_column): {', '.join(names)}")


def _ids(cells: list[Any], path: Path) -> list[str]:
    for row, cell in enumerate(cells):
        if isinstance(cell, bool) or not isinstance(cell, (str, int)) or cell == "":
            raise DataError(
                f"{path}: the id of row {row} is {shortened(repr(cell), 60)}; give a text or a whole number"
            )
    ids = [str(cell) for cell in cells]
    twice = next((one for one, count in Counter(ids).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"{path}: the id '{shortened(twice, 60)}' occurs in several rows; give each id one row")
    return ids


def _from_csv(path: Path, id_column: str | None, texts: Collection[str]) -> dict[str, list[Any]]:
    table = read_csv(path)
    kept = {_id_column(id_column, table.column_names, path), *texts}
    columns = {name: table.column(name) for name in table.column_names}
    return {name: (column if name in kept else typed(column)).to_pylist() for name, column in columns.items()}


def _from_parquet(path: Path, *_: Any) -> dict[str, list[Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_arrow(path) as file:
            table = pq.read_table(file)
    except pa.ArrowException as error:
        raise DataError(
            f"{path} is not a readable Parquet file ({str(error).splitlines()[0]}); write it again"
        ) from None
    require_distinct(table.column_names, str(path))
    return {name: cells_of(table.column(name), name) for name in table.column_names}


def _from_jsonl(path: Path, *_: Any) -> dict[str, list[Any]]:
    rows = [_object(raw, path, number) for number, raw in enumerate(read_regular(path).split(b"\n"), 1) if raw.strip()]
    for number, row in enumerate(rows, 1):
        if row.keys() != rows[0].keys():
            raise DataError(f"{path}: object {number} has other names than the first; give all objects the same names")
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else {"id": None})}


def _object(raw: bytes, path: Path, number: int) -> Mapping[str, Any]:
    try:
        value = parse_json(raw)
    except ValueError as error:
        raise DataError(f"{path}: line {number} is not JSON ({error}); write one object per line") from None
    if not isinstance(value, dict):
        raise DataError(f'{path}: line {number} is not a JSON object; write e.g. {{"id": 17, "price": 9.5}}')
    return value
