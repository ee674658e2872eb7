"""Items as Milvus takes them, and what it cannot take."""

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
    """Yield items as Milvus takes them; a value that is None is left out."""
    names = list(columns)
    for id_, code, *values in zip(decode_ids(ids).tolist(), codes, *columns.values(), strict=True):
        known = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        yield {"id": id_, CODE: code.tobytes(), **known}


def from_rows(rows: list[dict[str, Any]], width: int) -> Codes:
    """Return the codes of rows that Milvus gave, uint8 ``(n, width)``; it wraps each in a list."""
    raw = b"".join(row[CODE][0] for row in rows)
    return np.frombuffer(raw, np.uint8).reshape(len(rows), width)


def check_names(ids: Ids, columns: dict[str, list[Any]], *, lite: bool) -> None:
    """Refuse what Milvus cannot hold or be asked for.

    Raises:
        UsageError: for column names.
        DataError: for ids.
    """
    for name in columns:
        if name == CODE or name.startswith("$") or not name or _BREAK.search(name):
            raise UsageError(f"Milvus cannot hold a column named {name!r}; rename it")
    listed = decode_ids(ids).tolist()
    if len(set(listed)) < len(listed):
        twice = next(id_ for id_, times in Counter(listed).items() if times > 1)
        raise DataError(f"id {twice!r} is given twice; ids must be unique")
    if isinstance(listed[0], str):
        for id_ in listed:
            if _BREAK.search(id_):
                raise DataError(f"id {id_!r}: Milvus cannot find ids with line breaks; rename it")
            if lite and "'" in id_:  # milvus-lite 2.5 splices them into SQL when it deletes
                raise DataError(
                    f"id {id_!r}: Milvus Lite cannot delete ids with an apostrophe; rename it, or use a server"
                )
