"""Ids as arrays: int64, or UTF-8 bytes of one width, whose byte order is the order of the strings.

Both kinds can be compared, sorted and mapped from disk without Python objects.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kinbits.errors import ArtefactError, DataError, UsageError

Ids = NDArray[Any]  # int64 or S<width>
Id = int | bytes  # one of them
IdKind = Literal["int", "str"]

MOST_BYTES = 1024  # every id of a segment takes the width of its longest


def as_ids(given: Any) -> Ids:
    """Turn ids (one, a list, an array) into an array of one kind.

    Raises:
        DataError: If they are neither all integers nor all strings, or cannot be stored.
    """
    # as objects: NumPy would turn numbers of a mixed list into text, and cut trailing zero bytes
    values = np.atleast_1d(given if isinstance(given, np.ndarray) else np.array(given, dtype=object))
    if values.ndim != 1:
        raise DataError(f"ids have the shape {values.shape}; give one id per item")
    if values.size == 0:
        return np.zeros(0, np.int64)
    if values.dtype.kind in "iu":
        return _as_int64(values)
    listed = values.tolist()
    kinds = set(map(type, listed))
    if all(issubclass(kind, str) for kind in kinds):
        return _as_bytes(listed)
    if all(issubclass(kind, (int, np.integer)) and kind is not bool for kind in kinds):
        return _as_int64(values)
    raise DataError(f"ids must be all int or all str, not e.g. {listed[0]!r} and {listed[-1]!r}")


def kind_of(ids: Ids) -> IdKind:
    """Return the kind of an array of ids."""
    return "int" if ids.dtype.kind == "i" else "str"


def require_kind(ids: Ids, kind: IdKind | None) -> None:
    """Raise if ids are not of the kind that an index holds."""
    if kind is not None and ids.size and kind_of(ids) != kind:
        raise UsageError(f"this index has {kind} ids, but {kind_of(ids)} ids were given; use {kind} ids")


def decode_ids(ids: Ids) -> NDArray[Any]:
    """Return ids as users pass them: int64, or an array of str.

    Raises:
        ArtefactError: If the bytes are not valid text.
    """
    try:
        return np.char.decode(ids, "utf-8") if ids.dtype.kind == "S" else np.asarray(ids)
    except UnicodeDecodeError:
        raise ArtefactError("the ids of this index are damaged; rebuild it from its codes") from None


def missing_ids_error(ids: Ids | list[Any]) -> DataError:
    """Return the error for ids that an index does not hold."""
    return DataError(f"{_named(ids)} not in the index; pass only ids that it holds")


def duplicate_ids_error(ids: Ids | list[Any]) -> UsageError:
    """Return the error for new items whose ids an index already holds."""
    return UsageError(f"{_named(ids)} already in the index; upsert replaces the items, or choose new ids")


def _named(ids: Ids | list[Any]) -> str:
    first, more = (ids[:1] if isinstance(ids, list) else decode_ids(ids[:1]).tolist())[0], len(ids) - 1
    return f"id {first!r} is" if not more else f"id {first!r} and {more:,} other{'s' * (more > 1)} are"


def no_ids(kind: IdKind | None) -> Ids:
    """Return an empty array of a kind of ids; int64 if it is not known."""
    return np.zeros(0, "S1" if kind == "str" else np.int64)


def concatenate(parts: list[Ids]) -> Ids:
    """Join arrays of one kind; if all are empty, the first one gives the dtype, and int64 if there is none."""
    parts = [part for part in parts if part.size] or parts[:1]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _as_int64(values: NDArray[Any]) -> Ids:
    try:
        converted = values.astype(np.int64)
    except OverflowError:
        converted = np.full(len(values), -1)
    if not np.array_equal(converted, values):
        raise DataError("ids must fit into signed 64-bit integers; pass larger ones as str")
    return converted


def _as_bytes(values: list[str]) -> Ids:
    try:
        encoded = [value.encode() for value in values]
    except UnicodeEncodeError as error:
        raise DataError(f"id {error.object!r} is not valid Unicode text; rename it") from None
    for text, raw in zip(values, encoded, strict=True):
        if not 0 < len(raw) <= MOST_BYTES or b"\0" in raw:
            raise DataError(f"id {text[:40]!r} must be 1 to {MOST_BYTES} bytes long, without a zero byte")
    return np.array(encoded, dtype=np.bytes_)


def readable_id(id_: Id) -> int | str:
    """Return an id as users give it."""
    first: int | str = decode_ids(np.array([id_])).tolist()[0]
    return first


def stored_id(id_: int | str) -> Id:
    """Return an id as segments store it."""
    return id_.encode() if isinstance(id_, str) else id_
