"""The arrays of a multi-index: their construction from codes, and checks that they fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits.errors import DataError
from kinbits.hamming import _native
from kinbits.hamming.checks import Codes
from kinbits.hamming.strategy import LONGEST_SUBSTRING, budget, substring_bits

FORMAT = 1
MOST_ROWS = 2**32 - 2  # rows are 32 bits wide, and one value is special
_SAMPLES = 16
_TRACED_ROWS = 10_000  # neighbours of a sample query
_FLIPPED = 1 / 32  # bits flipped in every other sample query
_NAMES = {"layout", "unique", "starts", "rows", "offsets", "entries", "samples"}


@dataclass(frozen=True)
class Groups:
    """Rows grouped by code.

    Attributes:
        width: Bytes of a code.
        unique: The distinct codes, ascending: uint64 ``(u,)`` with the first bit on top, for codes of up to 8 bytes;
            uint8 ``(u, width)`` for wider ones.
        starts: uint32 ``(u + 1,)``: start of the rows of each code; empty if all codes are distinct.
        rows: uint32 ``(n,)``: the rows in the order of their codes, ascending in each group.
        total: Number of rows of the index; more than ``len(rows)`` if a filter leaves some out.
    """

    width: int
    unique: NDArray[Any]
    starts: NDArray[np.uint32]
    rows: NDArray[np.uint32]
    total: int

    def native(self) -> _native.MultiIndex:
        """Return the kernel's view of the groups, without tables."""
        narrow = self.width <= 8
        wide = np.empty((0, self.width), np.uint8) if narrow else self.unique
        keys = self.unique if narrow else np.empty(0, np.uint64)
        return _native.MultiIndex(wide, keys, self.starts, self.rows, self.total)

    def only(self, allow: NDArray[np.bool_]) -> Groups:
        """Return the groups with only the allowed rows; some may be empty."""
        kept = allow[self.rows]
        before = np.zeros(len(kept) + 1, np.uint32)
        np.cumsum(kept, out=before[1:])
        starts = before[self.starts] if len(self.starts) else before
        return Groups(self.width, self.unique, starts, self.rows[kept], self.total)


def group(codes: Codes, threads: int) -> Groups:
    """Order the rows by code, and find the distinct codes."""
    n, width = codes.shape
    if n > MOST_ROWS:
        raise DataError(f"{n:,} codes: a multi-index holds at most {MOST_ROWS:,}; split the codes")
    keys, rows = np.empty(n, np.uint64), np.empty(n, np.uint32)
    scratch = np.empty((n + 1, 2), np.uint64)
    distinct = _native.group_rows(codes, keys, rows, scratch, threads)
    starts = np.empty(0, np.uint32)
    if distinct < n:
        starts = scratch.reshape(-1).view(np.uint32)[: distinct + 1].copy()
    del scratch
    if width > 8:
        unique: NDArray[Any] = codes[rows[starts[:-1]] if len(starts) else rows]
    else:
        unique = keys if distinct == n else keys[:distinct].copy()
    return Groups(width, unique, starts, rows, n)


def used_bits(codes: Codes) -> int:
    """Return the number of bits without trailing bits that are 0 in all codes, such as pad bits."""
    last = int(np.bitwise_or.reduce(codes[:, -1], initial=0))
    pad = 7 if last == 0 else (last & -last).bit_length() - 1
    return int(8 * codes.shape[1] - pad)


def fill_tables(
    native: _native.MultiIndex, groups: Groups, bits: int, substrings: int, threads: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Build substring tables in the kernel's view, and return their offsets and entries."""
    offsets = np.empty(_offsets(bits, substrings), np.uint32)
    entries = np.empty(_entries(groups.width, len(groups.unique), bits, substrings), np.uint8)
    native.fill_tables(bits, substrings, offsets, entries, threads)
    return offsets, entries


def sample(native: _native.MultiIndex, groups: Groups, codes: Codes, bits: int, threads: int) -> NDArray[np.int64]:
    """Search for some rows of the index, each without itself, and record the cost.

    Returns:
        int64 ``(samples, radii, 3)``: rows within each radius, probes and entries up to it; -1 where given up.
    """
    n = len(groups.rows)
    generator = np.random.default_rng(0)
    at = generator.integers(0, n, _SAMPLES if n else 0)
    queries = codes[groups.rows[at]]
    flips = generator.random((len(at), 8 * groups.width)) < _FLIPPED
    flips[::2] = False
    flips[:, bits:] = False
    own = np.searchsorted(groups.starts, at, "right") - 1 if len(groups.starts) else at
    steps = np.empty((len(at), min(8 * groups.width, 64) + 1, 3), np.int64)
    limit = 2 * budget(len(groups.unique), groups.width)
    native.trace(queries ^ np.packbits(flips, axis=1), own.astype(np.uint32), _TRACED_ROWS, limit, threads, steps)
    return steps


def checked(codes: Codes, arrays: Mapping[str, NDArray[Any]]) -> tuple[Groups, int, int]:
    """Check that the arrays fit the codes and each other, without reading them through.

    Returns:
        The groups, the bits that the substrings cover, and the number of substrings.

    Raises:
        DataError: If an array does not fit.
    """
    _require(set(arrays) == _NAMES, f"has the arrays {sorted(arrays)}, but needs {sorted(_NAMES)}")
    n, width = codes.shape
    layout = arrays["layout"]
    _like("layout", layout, np.int64, (6,))
    version, rows, own_width, distinct, bits, substrings = (int(value) for value in layout)
    _require(version == FORMAT, f"is of format {version}; this version reads format {FORMAT}")
    _require((rows, own_width) == (n, width), f"is of {rows} codes of {own_width} bytes, not {n} of {width}")
    _require(0 <= distinct <= n <= MOST_ROWS and (distinct > 0) == (n > 0), f"has {distinct} codes in {n} rows")
    _require(1 <= substrings <= bits <= 8 * width, f"has {substrings} substrings of {bits} bits")
    _require(-(-bits // substrings) <= LONGEST_SUBSTRING, f"has {substrings} substrings of {bits} bits")
    wanted: tuple[type, tuple[int, ...]] = (np.uint64, (distinct,)) if width <= 8 else (np.uint8, (distinct, width))
    _like("unique", arrays["unique"], *wanted)
    _like("starts", arrays["starts"], np.uint32, (distinct + 1,) if distinct < n else (0,))
    _like("rows", arrays["rows"], np.uint32, (n,))
    _like("offsets", arrays["offsets"], np.uint32, (_offsets(bits, substrings),))
    _like("entries", arrays["entries"], np.uint8, _entries(width, distinct, bits, substrings))
    _like("samples", arrays["samples"], np.int64, (_SAMPLES if n else 0, min(8 * width, 64) + 1, 3))
    groups = Groups(width, arrays["unique"], arrays["starts"], arrays["rows"], n)
    _check_ends(groups, arrays["offsets"], bits, substrings)
    return groups, bits, substrings


def _check_ends(groups: Groups, offsets: NDArray[np.uint32], bits: int, substrings: int) -> None:
    """Check that positions begin at 0 and end at the number of rows."""
    if len(groups.starts):
        ends = int(groups.starts[0]), int(groups.starts[-1])
        _require(ends == (0, len(groups.rows)), f"has groups from {ends[0]} to {ends[1]} of {len(groups.rows)} rows")
    at = 0
    for length in substring_bits(bits, substrings):
        ends = int(offsets[at]), int(offsets[at + 2**length])
        _require(ends == (0, len(groups.unique)), f"has buckets from {ends[0]} to {ends[1]}")
        at += 2**length + 1


def _offsets(bits: int, substrings: int) -> int:
    return sum(2**length + 1 for length in substring_bits(bits, substrings))


def _entries(width: int, distinct: int, bits: int, substrings: int) -> tuple[int, int]:
    """Return the shape of the entries: one row per table except the first, plus padding that the kernel reads."""
    stride = (8 * width - bits // substrings + 7) // 8 if width <= 8 else 8
    return substrings - 1, distinct * stride + 56


def _like(name: str, array: NDArray[Any], dtype: type, shape: tuple[int, ...]) -> None:
    fits = array.dtype == dtype and array.shape == shape and array.flags.c_contiguous
    _require(fits, f"has {name} {array.dtype} {array.shape} where {np.dtype(dtype)} {shape} is needed")


def _require(fits: bool, what: str) -> None:
    if not fits:
        raise DataError(f"this multi-index {what}; build it again with MultiIndex.from_codes")
