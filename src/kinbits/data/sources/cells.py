"""Conversion of table cells to Python values, ids, texts and metadata, without rounding."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from kinbits._util import shortened
from kinbits.errors import DataError

_LONGEST_ID = 4096
_SHORT_BYTES = 64
_INT64 = range(-(2**63), 2**63)


def cells_of(column: Any, name: str) -> list[Any]:
    """Return the cells of an Arrow column as Python values; dates, times, decimals and UUIDs become text.

    Args:
        column: A `pyarrow.ChunkedArray`.
        name: Name of the column, for errors.

    Raises:
        DataError: If the column has values that Python cannot represent.
    """
    import pyarrow as pa

    column = decoded(column)
    try:
        if pa.types.is_temporal(column.type) or pa.types.is_decimal(column.type):
            column = column.cast(pa.string())
        return column.to_pylist()  # type: ignore[no-any-return]
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise DataError(f"column '{name}' of type {column.type} cannot be read ({error}); save it as text") from None


def decoded(column: Any) -> Any:
    """Return an Arrow column with a plain type instead of an extension, dictionary or view; UUIDs become text."""
    import pyarrow as pa

    if str(column.type) == "extension<arrow.uuid>":
        return pa.chunked_array([[None if cell is None else str(cell) for cell in column.to_pylist()]], pa.string())
    if isinstance(column.type, pa.BaseExtensionType):
        chunks = [chunk.storage for chunk in column.chunks]
        return decoded(pa.chunked_array(chunks, column.type.storage_type))
    if pa.types.is_dictionary(column.type):
        return decoded(column.cast(column.type.value_type))
    if pa.types.is_string_view(column.type) or pa.types.is_binary_view(column.type):
        return column.cast(pa.large_string() if pa.types.is_string_view(column.type) else pa.large_binary())
    return column


def to_ids(cells: Sequence[Any], source: str) -> np.ndarray:
    """Return cells as ids: int64 ``(n,)`` if all are integers that fit, else str ``(n,)``.

    Bytes are decoded as UTF-8, or else written in hexadecimal digits.

    Raises:
        DataError: If a cell is empty, too long, or holds several values.
    """
    if all(type(cell) is int and cell in _INT64 for cell in cells):
        return np.array(cells, np.int64)
    texts = [None if isinstance(cell, (list, tuple, dict, np.ndarray)) else as_text(cell) for cell in cells]
    for row, text in enumerate(texts):
        if not text or len(text) > _LONGEST_ID:
            raise DataError(
                f"{source}: {cell_in_row('id', row, cells[row])}; give each row a short text or a whole number"
            )
    return np.array(texts, np.str_)


def array_to_ids(ids: np.ndarray, source: str) -> np.ndarray:
    """Return the ids in an array ``(n,)`` or ``(n, 1)``: int64 ``(n,)`` if all are integers that fit, else str.

    Raises:
        DataError: If the array has another shape, or an id is empty.
    """
    ids = ids[:, 0] if ids.ndim == 2 and ids.shape[1] == 1 else ids
    if ids.ndim != 1:
        raise DataError(f"{source}: ids of shape {ids.shape}; give one for each row")
    return to_ids((ids.astype(np.str_) if ids.dtype.kind in "mM" else ids).tolist(), source)


def to_texts(cells: Sequence[Any], source: str) -> tuple[str, ...]:
    """Return cells as texts: a missing text is empty, several texts in one cell are joined by a space.

    Raises:
        DataError: If a cell holds a value that is not text.
    """
    made = tuple(_joined(cell) for cell in cells)
    for row, text in enumerate(made):
        if text is None:
            raise DataError(f"{source}: {cell_in_row('text', row, cells[row])}; give a text, or a list of texts")
    return made  # type: ignore[return-value]


def to_metadata(cells: Sequence[Any]) -> tuple[list[Any] | None, str | None]:
    """Return cells as metadata: int, float, bool, str, or None for a missing value.

    If an integer does not fit 64 bits, the column becomes text. Nested values become JSON.

    Returns:
        The values, None if the column holds images or other long bytes; and a note about the conversion, or None.
    """
    values = [cell.item() if isinstance(cell, np.generic) else cell for cell in cells]
    kinds = set(map(type, values))
    if kinds & {bytes, dict} and any(_is_long(value) for value in values):
        return None, "is left out: it holds long binary values"
    if int in kinds and not all(value in _INT64 for value in values if type(value) is int):
        return [None if value is None else str(value) for value in values], "is text: its numbers do not fit 64 bits"
    infinite = sum(isinstance(value, float) and np.isinf(value) for value in values) if float in kinds else 0
    note = f"has {infinite} infinite values, which count as missing" if infinite else None
    return [_plain(value) for value in values], note


def as_text(cell: Any) -> str | None:
    """Return one cell as text, None if it is missing; bytes that are not UTF-8 are written in hexadecimal digits."""
    if cell is None or (isinstance(cell, (float, np.floating)) and np.isnan(cell)):
        return None
    if isinstance(cell, (bytes, bytearray, memoryview)):
        try:
            return bytes(cell).decode("utf-8")
        except UnicodeDecodeError:
            return bytes(cell).hex()
    return unicode(str(cell))


def unicode(text: str) -> str:
    """Return a text that can be encoded as UTF-8: bytes of a file name that are not UTF-8 become escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def cell_in_row(what: str, row: int, cell: Any) -> str:
    """Return a phrase that quotes a cell with its row, for errors."""
    shown = "missing" if cell is None or cell == "" else shortened(repr(cell), 80)
    return f"the {what} of row {row} (counted from 0) is {shown}"


def _joined(cell: Any) -> str | None:
    """Return the text of a cell; None if the cell is not text."""
    if isinstance(cell, (list, tuple, np.ndarray)):
        parts = [_joined(part) for part in cell]
        return None if None in parts else " ".join(part for part in parts if part)
    return None if isinstance(cell, dict) else as_text(cell) or ""


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value, ensure_ascii=False, default=as_text)
    return as_text(value)


def _is_long(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_is_long, value.values()))
    return isinstance(value, bytes) and len(value) > _SHORT_BYTES and not _is_utf8(value)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
