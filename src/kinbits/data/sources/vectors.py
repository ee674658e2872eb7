"""Vectors: columns of lists as arrays, and rows that are not finite."""

from __future__ import annotations

from typing import Any

import numpy as np

from kinbits.data.dataset import Dataset, nothing_usable
from kinbits.data.items import VectorItems
from kinbits.data.mapped_rows import MappedRows
from kinbits.errors import DataError

NOT_FINITE = "vector is not finite as float32"
_CELLS = 1 << 22  # numbers that are checked at once


def is_vector_type(kind: Any) -> bool:
    """Tell whether an Arrow type is a list of numbers.

    Args:
        kind: A `pyarrow.DataType`.
    """
    import pyarrow.types as types

    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return False
    return bool(types.is_floating(kind.value_type) or types.is_integer(kind.value_type))


def to_vectors(column: Any, source: str) -> np.ndarray:
    """Return a column of lists as float ``(n, d)``; floats keep their width, whole numbers become float32.

    An empty cell, or an empty place in a list, becomes NaN.

    Args:
        column: A `pyarrow.ChunkedArray` of lists of numbers.
        source: Named in errors.

    Raises:
        DataError: If the lists differ in length, or hold no numbers.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.list_value_length(column).to_numpy()
    given = ~np.isnan(lengths)
    dim = int(lengths[given][0]) if given.any() else 0
    other = np.flatnonzero(given & (lengths != dim))
    if len(other):
        raise DataError(
            f"{source}: the vector in row {other[0]} (counted from 0) has {lengths[other[0]]:.0f} numbers, and those "
            f"before it have {dim}; give all vectors one length"
        )
    if not dim:
        raise DataError(f"{source}: the vectors hold no numbers; give at least one number for each row")
    kind = column.type.value_type
    flat = pc.list_flatten(column).cast(kind if pa.types.is_floating(kind) else pa.float32(), safe=False).to_numpy()
    found = np.full((len(column), dim), np.nan, flat.dtype)
    found[given] = flat.reshape(-1, dim)
    return found


def mapped_vectors(column: Any) -> MappedRows | None:
    """Return a column of lists as vectors that stay where the column is: on disk, if it is memory-mapped.

    Args:
        column: A `pyarrow.ChunkedArray` of lists of numbers.

    Returns:
        The vectors; None unless all lists are floats of one length without empty places.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.min_max(pc.list_value_length(column)).as_py()
    if not pa.types.is_floating(column.type.value_type) or column.null_count or lengths["min"] != lengths["max"]:
        return None
    parts = [chunk.flatten() for chunk in column.chunks if len(chunk)]
    if not lengths["min"] or any(part.null_count for part in parts):
        return None
    return MappedRows([part.to_numpy().reshape(-1, lengths["min"]) for part in parts])


def without_not_finite(dataset: Dataset) -> Dataset:
    """Return a dataset without the vectors that are not finite as float32; they are listed as skipped.

    Raises:
        DataError: If no vector is left.
    """
    if not isinstance(dataset.items, VectorItems):
        return dataset
    bad = np.flatnonzero(~finite_rows(dataset.items.stored_vectors))
    kept = dataset.without(bad, [NOT_FINITE] * len(bad)) if len(bad) else dataset
    if not len(kept):
        raise nothing_usable(kept)
    return kept


def finite_rows(vectors: np.ndarray | MappedRows) -> np.ndarray:
    """Return which vectors ``(n, d)`` are finite as float32, bool ``(n,)``; what is on disk is read in blocks."""
    finite, step = np.ones(len(vectors), bool), max(1, _CELLS // max(vectors.shape[1], 1))
    with np.errstate(over="ignore"):  # the heads compute in float32
        for start in range(0, len(vectors), step):
            block = vectors[start : start + step].astype(np.float32, copy=False)
            finite[start : start + step] = np.isfinite(block).all(axis=1)
    return finite
