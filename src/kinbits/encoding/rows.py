"""Tables of packed codes: columns id, code, metadata, as files of codes hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kinbits._util import one_line
from kinbits.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT, KEY = 1, b"kinbits"
PRODUCT_FORMAT = 2  # of files with product codes, which an older kinbits would take for bits
CODE = "code"  # the column of codes; metadata of this name is left out of a file


def with_format(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file says about itself, with the format that its kind of codes needs."""
    return {"format": PRODUCT_FORMAT if "words" in facts else FORMAT, **facts}


def code_rows(
    ids: np.ndarray, codes: np.ndarray, columns: Mapping[str, Sequence[Any]], facts: Mapping[str, Any]
) -> pa.Table:
    """Lay codes out as a table.

    Args:
        ids: int or str ``(n,)``.
        codes: Packed, uint8 ``(n, w)``.
        columns: Metadata by name, n values each; ``id`` and ``code`` are left out.
        facts: What the file says about itself, as JSON types: ``bits``, ``fingerprint``, ...

    Raises:
        DataError: If an id occurs twice, or ids or metadata cannot be stored.
    """
    import pyarrow as pa

    names, counts = np.unique(ids, return_counts=True)
    if len(names) != len(ids):
        raise DataError(f"the id {names[counts.argmax()]} occurs {counts.max()} times; give each code its own id")
    packed = pa.py_buffer(np.ascontiguousarray(codes).tobytes())
    made = {
        "id": _column("id", ids.tolist(), pa.int64() if ids.dtype.kind in "iu" else pa.string()),
        "code": pa.FixedSizeBinaryArray.from_buffers(pa.binary(codes.shape[1]), len(ids), [None, packed]),
        **arrow_columns(columns),
    }
    return pa.table(made).replace_schema_metadata({KEY: json.dumps(dict(facts))})


def arrow_columns(columns: Mapping[str, Sequence[Any]]) -> dict[str, pa.Array]:
    """Return metadata as a file of codes stores it, without columns ``id`` and ``code``.

    Raises:
        DataError: If a column cannot be stored.
    """
    return {name: _column(name, values) for name, values in columns.items() if name not in ("id", CODE)}


def _column(name: str, values: Sequence[Any], kind: pa.DataType | None = None) -> pa.Array:
    import pyarrow as pa

    try:
        name.encode()  # Arrow takes no surrogates
        return pa.array(values, kind)
    except (pa.ArrowException, ValueError, OverflowError, AttributeError) as error:
        raise DataError(f"the column {name!r} cannot be stored ({one_line(error)}); give values of one type") from None


def rows_of_ids(table: pa.Table, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the codes of some ids.

    Returns:
        The places in ``ids`` that the table has codes for, int64 ``(m,)``, and those codes, uint8 ``(m, w)``.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted, known = pa.array(ids.tolist()), table["id"].combine_chunks()
    rows = pc.index_in(wanted.cast(known.type), value_set=known)
    places = np.flatnonzero(np.asarray(rows.is_valid()))
    raw = b"".join(table["code"].take(rows.filter(rows.is_valid())).to_pylist())
    return places, np.frombuffer(raw, np.uint8).reshape(len(places), table["code"].type.byte_width)
