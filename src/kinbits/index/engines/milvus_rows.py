"""Conversion of items for Milvus, and checks of what it cannot store."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from kinbits.errors import DataError, UsageError
from kinbits.hamming import Codes
from kinbits.index.store.ids import Ids, decode_ids

CODE = "binary_code"  # the field of the code

_BREAK = re.compile(r"[\r\n]")


def batched(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Yield lists of at most ``size`` items."""
    while part := list(islice(items, size)):
        yield part


def to_rows(codes: Codes, ids: Ids, columns: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Yield items as rows of Milvus; None values are left out."""
    names = list(columns)
    for id_, code, *values in zip(decode_ids(ids).tolist(), codes, *columns.values(), strict=True):
        known = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        yield {"id": id_, CODE: code.tobytes(), **known}


def from_rows(rows: list[dict[str, Any]], width: int) -> Codes:
    """Return the codes of rows of Milvus, uint8 ``(n, width)``; Milvus wraps each in a list."""
    raw = b"".join(row[CODE][0] for row in rows)
    return np.frombuffer(raw, np.uint8).reshape(len(rows), width)


def check_names(ids: Ids, columns: dict[str, list[Any]], *, lite: bool) -> None:
    """Check names of columns and ids.

    Raises:
        UsageError: If Milvus cannot store the name of a column.
        DataError: If Milvus cannot store or find an id.
    """
    for name in columns:
        if name == CODE or name.startswith("$") or not name or _BREAK.search(name):
            raise UsageError(f"Milvus cannot store a column named {name!r}; rename it")
    listed = decode_ids(ids).tolist()
    if len(set(listed)) < len(listed):
        twice = next(id_ for id_, times in Counter(listed).items() if times > 1)
        raise DataError(f"id {twice!r} is given twice; ids must be unique")
    if isinstance(listed[0], str):
        for id_ in listed:
            if _BREAK.search(id_):
                raise DataError(f"id {id_!r}: Milvus cannot find ids with line breaks; rename it")
            if lite and "'" in id_:  # milvus-lite 2.5 pastes ids into SQL when it deletes
                raise DataError(
                    f"id {id_!r}: Milvus Lite cannot delete ids with an apostrophe; rename it, or use a server"
                )
