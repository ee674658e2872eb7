"""Exact search where the distance of a code is a sum of look-ups, one for each part of the code."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits.errors import DataError
from kinbits.hamming import _native
from kinbits.hamming.checks import Codes, check_codes, check_count, check_number
from kinbits.hamming.codes import simd
from kinbits.hamming.kinds import FACTOR_BYTES, SCALED, factors_of, table_shape, unpack_words
from kinbits.hamming.search import UNLIMITED, Allow, allowed_rows, by_query, check_allow, thread_count

Tables = NDArray[np.float32]
Scored = tuple[NDArray[np.float32], NDArray[np.int64]]

_LARGEST = float(np.finfo(np.float32).max) / 2


def table_topk(
    tables: ArrayLike,
    codes: ArrayLike,
    k: int,
    *,
    allow: Allow | None = None,
    threads: int | None = None,
) -> Scored:
    """Find the k codes of each query with the smallest sums of look-ups, ordered by distance, then by row.

    The distance of a code c is ``sum over parts p of tables[query, p, c_p]``, added up in this order in float32. With
    16 words, each byte of a code is two parts, the upper half byte first. With 256 words, each byte is a part. So the
    same search reads product codes (H. Jégou, M. Douze, C. Schmid, TPAMI 2011, the asymmetric distance), and bits with
    a real-valued query (`sign_tables`).

    Scaled codes end in three float32: scale, offset and error. Their tables have 16 words, and one part more than the
    other bytes have half bytes. Its first two entries are ``base`` and ``slack``, and the distance is ``base + (offset
    + scale * sum - slack * error)``: with a slack of 0 an estimate, else a lower bound of it (J. Gao, C. Long,
    "RaBitQ", SIGMOD 2024). A distance that is no number is the largest one; one beyond float32 is the last on its
    side.

    A first pass adds up small whole numbers, which never exceed the distance, in vector registers, after F. André,
    A.-M. Kermarrec, N. Le Scouarnec, "Quicker ADC", TPAMI 2019. Only rows that may still be among the nearest are added
    up in float32. The result is that of float32 alone.

    Args:
        tables: Finite float32 ``(q, parts, words)``; words is 16 or 256.
        codes: uint8 ``(n, w)``; w is ``parts / 2`` with 16 words, ``parts`` with 256, and ``(parts - 1) / 2 + 12`` for
            scaled codes. Memory-mapped arrays are read in place.
        k: Number of codes per query; if fewer are allowed, all of them.
        allow: Rows that may be found; see `topk`.
        threads: Number of threads; see `topk`. Results do not depend on it.

    Returns:
        Distances float32 ``(q, k')`` and rows int64 ``(q, k')``, ``k' = min(k, allowed rows)``.

    Raises:
        UsageError: If ``k`` is negative or no integer.
        DataError: If dtype, dimension or width do not fit, or a value is not finite.

    Example:
        >>> import numpy as np
        >>> from kinbits.hamming import table_topk
        >>> tables = np.arange(32, dtype=np.float32).reshape(1, 2, 16)
        >>> distances, rows = table_topk(tables, np.array([[0x21], [0x00], [0x03]], np.uint8), k=2)
        >>> distances.tolist(), rows.tolist()
        ([[16.0, 19.0]], [[1, 0]])
    """
    counts, near, rows = _search(tables, codes, check_count(k, "k"), math.inf, allow, threads)
    found = int(counts[0]) if len(counts) else min(k, allowed_rows(allow, len(np.asarray(codes))))  # the same for each
    return near.reshape(len(counts), found), rows.reshape(len(counts), found)


def table_within(
    tables: ArrayLike,
    codes: ArrayLike,
    radius: float,
    *,
    limit: int | None = None,
    allow: Allow | None = None,
    threads: int | None = None,
) -> list[Scored]:
    """Find all codes whose sum of look-ups is at most a radius, ordered by distance, then by row.

    Args:
        tables: See `table_topk`.
        codes: See `table_topk`.
        radius: Maximum distance, in the unit of the tables.
        limit: Maximum number of codes per query, nearest first; None for all.
        allow: Rows that may be found; see `topk`.
        threads: Number of threads; see `topk`.

    Returns:
        One pair per query: distances float32 and rows int64, of the same length.

    Raises:
        UsageError: If ``radius`` is no number, or ``limit`` is negative or no integer.
        DataError: If dtype, dimension or width do not fit, or a value is not finite.
    """
    checked = check_number(radius, "radius")
    most = UNLIMITED if limit is None else check_count(limit, "limit")
    return by_query(*_search(tables, codes, most, checked, allow, threads))


def table_distances(tables: ArrayLike, codes: ArrayLike) -> NDArray[np.float32]:
    """Return the distance of every query to every code, added up as in `table_topk`.

    Args:
        tables: See `table_topk`.
        codes: See `table_topk`.

    Returns:
        float32 ``(q, n)``.

    Raises:
        DataError: If dtype, dimension or width do not fit, or a value is not finite.

    Example:
        >>> import numpy as np
        >>> from kinbits.hamming import table_distances
        >>> tables = np.arange(32, dtype=np.float32).reshape(1, 2, 16)
        >>> table_distances(tables, np.array([[0x21], [0x00]], np.uint8)).tolist()
        [[19.0, 16.0]]
    """
    checked = check_codes(codes)
    read = check_tables(tables, checked)
    words = kind_of_tables(read)
    total = np.zeros((len(read), len(checked)), np.float32)
    for part, numbers in enumerate(unpack_words(checked, words).T):
        total += np.take(read[:, part], numbers, axis=1)
    if words == SCALED:
        scale, offset, error = factors_of(checked).T
        base, slack = read[:, -1, 0, None], read[:, -1, 1, None]
        with np.errstate(over="ignore", invalid="ignore"):
            total = base + (offset + scale * total - slack * error)
        largest = np.finfo(np.float32).max
        total = np.where(np.isnan(total), largest, total.clip(-largest, largest))
    return total


def _search(
    tables: ArrayLike,
    codes: ArrayLike,
    limit: int,
    radius: float,
    allow: Allow | None,
    threads: int | None,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Return the number of hits per query, and the concatenated distances and rows of all queries."""
    checked = check_codes(codes)
    read = check_tables(tables, checked)
    simd()  # raises a readable error if KINBITS_SIMD is wrong
    bitmap = check_allow(allow, len(checked))
    most = float(np.clip(radius, -2 * _LARGEST, np.inf))
    return _native.search_tables(read, checked, min(limit, UNLIMITED), most, bitmap, thread_count(threads))


def check_tables(tables: ArrayLike, codes: Codes) -> Tables:
    """Return tables as C-contiguous float32 ``(q, parts, words)``, copied only if necessary.

    Raises:
        DataError: If dtype or shape do not fit the codes, or a value is not finite.
    """
    array: NDArray[Any] = np.asarray(tables)
    width = codes.shape[1]
    if array.dtype != np.float32:
        raise DataError(f"tables are {array.dtype}; give float32")
    shapes = [table_shape(8 * width, words) for words in (16, 256)]
    if width > FACTOR_BYTES:
        shapes.append(table_shape(8 * width, SCALED))
    if array.ndim != 3 or array.shape[1:] not in shapes:
        raise DataError(
            f"tables have the shape {array.shape}; codes of {width} bytes need (queries, {2 * width}, 16) or "
            f"(queries, {width}, 256)" + (f", scaled codes (queries, {shapes[-1][0]}, 16)" if len(shapes) > 2 else "")
        )
    _require_finite(array, "tables")
    if _largest_sum(array) > _LARGEST:
        raise DataError("tables add up to more than float32 holds; scale them")
    return np.ascontiguousarray(array)


def kind_of_tables(tables: Tables) -> int:
    """Return the kind of the codes that tables are for: 16 or 256 words, or scaled."""
    parts, words = tables.shape[1:]
    return SCALED if words == 16 and parts % 2 else words


def _largest_sum(tables: Tables) -> float:
    """Return a bound of the absolute sums of look-ups."""
    return float(np.abs(tables).max(axis=2).sum(axis=1, dtype=np.float64).max()) if tables.size else 0.0


def _require_finite(array: NDArray[np.float32], name: str) -> None:
    if not np.isfinite(array).all():
        raise DataError(f"{name} hold a value that is not finite; check where they come from")
