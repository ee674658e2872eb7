"""Exact search over codes in a torch tensor, for CUDA; results equal those of the kernel, ties included.

Imported only for such a tensor, so that ``kinbits.hamming`` needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinbits.errors import DataError
from kinbits.hamming.checks import MAX_WIDTH, check_codes, check_count

Array = Tensor | NDArray[np.uint8]
Mask = Tensor | NDArray[np.bool_] | NDArray[np.uint8]
Measure = Callable[[Tensor], Tensor]  # uint8 codes (m, w) to their distances (q, m)
Hits = tuple[Tensor, Tensor, Tensor]  # query, distance and row of each, int64

_PRODUCT_WIDTH = 128  # bytes: half precision is exact for multiples of 0.5 up to 1,024


@dataclass(frozen=True)
class Tuning:
    """Sizes that decide how a search runs; results do not depend on them.

    With many queries, a product of +-1 matrices replaces XOR and popcount: on tensor cores it costs little more than
    spreading out the codes. ``benchmarks/bench_gpu.py`` measures both. A CPU gains nothing by it.

    Attributes:
        chunk_bytes: Bytes of the largest temporary; about four exist at a time.
        first_pairs: Pairs in the first chunk. It is small, because all its pairs are sorted; the bound then falls.
        growth: Factor by which chunks grow.
        product_queries: Minimum number of queries for the matrix product, by type of device.
    """

    chunk_bytes: int = 1 << 28
    first_pairs: int = 1 << 20
    growth: int = 8
    product_queries: Mapping[str, int] = field(default_factory=lambda: {"cuda": 8})


DEFAULT = Tuning()


def topk(
    queries: Array, codes: Tensor, k: int, allow: Mask | None = None, tuning: Tuning = DEFAULT
) -> tuple[Tensor, Tensor]:
    """Find the k nearest codes of each query, ordered by distance, then by row.

    Args:
        queries: uint8 ``(q, w)``, packed; a NumPy array, or a tensor on any device.
        codes: uint8 ``(n, w)``, packed.
        k: Number of codes per query; if fewer are allowed, all of them.
        allow: Rows that may be found: bool ``(n,)``, or its bits uint8 ``(ceil(n / 8),)``, least significant first.
            None allows all.
        tuning: Sizes of chunks.

    Returns:
        Distances int32 ``(q, k')`` and rows int64 ``(q, k')`` on the codes' device, ``k' = min(k, allowed rows)``.

    Raises:
        UsageError: If ``k`` is negative or no integer.
        DataError: If dtype, dimension or width do not fit.
    """
    limit = check_count(k, "k")
    q, c, mask = _prepare(queries, codes, allow)
    limit = min(limit, len(c) if mask is None else int(mask.sum()))
    near = torch.empty(len(q), limit, dtype=torch.int32, device=c.device)
    at = torch.empty(len(q), limit, dtype=torch.int64, device=c.device)
    for start, block in _query_blocks(q) if limit else ():
        _, distance, row = _search(block, c, limit, 8 * c.shape[1], mask, tuning)
        near[start : start + len(block)] = distance.view(-1, limit)
        at[start : start + len(block)] = row.view(-1, limit)
    return near, at


def within(
    queries: Array,
    codes: Tensor,
    radius: int,
    limit: int | None = None,
    allow: Mask | None = None,
    tuning: Tuning = DEFAULT,
) -> list[tuple[Tensor, Tensor]]:
    """Find all codes within a Hamming radius of each query, ordered by distance, then by row.

    Args:
        queries: uint8 ``(q, w)``, packed; a NumPy array, or a tensor on any device.
        codes: uint8 ``(n, w)``, packed.
        radius: Maximum distance in bits; 0 finds equal codes.
        limit: Maximum number of codes per query, nearest first; None for all.
        allow: Rows that may be found: bool ``(n,)``, or its bits uint8 ``(ceil(n / 8),)``, least significant first.
            None allows all.
        tuning: Sizes of chunks.

    Returns:
        One pair per query, on the codes' device: distances int32 and rows int64, of the same length.

    Raises:
        UsageError: If ``radius`` or ``limit`` is negative or no integer.
        DataError: If dtype, dimension or width do not fit.
    """
    limited_radius = check_count(radius, "radius")
    most = None if limit is None else check_count(limit, "limit")
    q, c, mask = _prepare(queries, codes, allow)
    most = len(c) if most is None else min(most, len(c))
    found: list[tuple[Tensor, Tensor]] = []
    for _, block in _query_blocks(q):
        query, distance, row = _search(block, c, most, min(limited_radius, 8 * c.shape[1]), mask, tuning)
        counts = torch.bincount(query, minlength=len(block)).tolist()
        found += zip(torch.split(distance.to(torch.int32), counts), torch.split(row, counts), strict=True)
    return found


def distances(queries: Array, codes: Tensor, tuning: Tuning = DEFAULT) -> Tensor:
    """Return the Hamming distance of every query to every code.

    Args:
        queries: uint8 ``(q, w)``, packed; a NumPy array, or a tensor on any device.
        codes: uint8 ``(n, w)``, packed.
        tuning: Sizes of chunks.

    Returns:
        int32 ``(q, n)`` on the device of the codes, because torch supports hardly any operation on uint16.

    Raises:
        DataError: If dtype, dimension or width do not fit.
    """
    q, c, _ = _prepare(queries, codes, None)
    out = torch.empty(len(q), len(c), dtype=torch.int32, device=c.device)
    for first, block in _query_blocks(q):
        measure, rows = _measure(block, tuning)
        for start in range(0, len(c), rows):
            out[first : first + len(block), start : start + rows] = measure(c[start : start + rows])
    return out


def _prepare(queries: Array, codes: Tensor, allow: Mask | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Check the arguments, and move them to the device of the codes."""
    _check(codes, "codes")
    q = queries if isinstance(queries, Tensor) else torch.from_numpy(check_codes(queries, name="queries").copy())
    _check(q, "queries")
    if q.shape[1] != codes.shape[1]:
        raise DataError(f"queries are {q.shape[1]} bytes wide, but {codes.shape[1]} are needed")
    return q.to(codes.device), codes, None if allow is None else _mask(allow, len(codes), codes.device)


def _check(codes: Tensor, name: str) -> None:
    if codes.dtype != torch.uint8:
        raise DataError(f"{name} are {codes.dtype}; packed codes are uint8, see kinbits.hamming.pack")
    if codes.ndim != 2:
        raise DataError(f"{name} have the shape {tuple(codes.shape)}; give (n, bytes), one row per code")
    if not 1 <= codes.shape[1] <= MAX_WIDTH:
        raise DataError(f"{name} are {codes.shape[1]} bytes wide; allowed are 1 to {MAX_WIDTH}")


def _mask(allow: Mask, n: int, device: torch.device) -> Tensor:
    """Move the allowed rows to the device as bool ``(n,)``."""
    given = str(allow.dtype).removeprefix("torch."), tuple(allow.shape)
    if given not in (("bool", (n,)), ("uint8", ((n + 7) // 8,))):
        raise DataError(f"allow is {given[0]} {given[1]}; it must be bool ({n},), or its bits uint8 ({(n + 7) // 8},)")
    mask = (allow if isinstance(allow, Tensor) else torch.from_numpy(allow.copy())).to(device)
    if mask.dtype == torch.bool:
        return mask
    places = torch.arange(8, dtype=torch.uint8, device=device)
    return (mask[:, None] >> places & 1).flatten()[:n].to(torch.bool)


def _query_blocks(queries: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield blocks of queries and their first rows; blocks are small enough for chunks of many codes."""
    step = max(1, min(1024, (1 << 15) // queries.shape[1]))
    for start in range(0, len(queries), step):
        yield start, queries[start : start + step]


def _search(queries: Tensor, codes: Tensor, k: int, radius: int, allow: Tensor | None, tuning: Tuning) -> Hits:
    """Find at most k codes within the radius of each query, ordered by query, distance and row."""
    nearest = _Nearest(len(queries), k, radius, codes.device)
    measure, most_rows = _measure(queries, tuning)
    start, rows = 0, min(max(1, tuning.first_pairs // len(queries)), most_rows)
    while start < len(codes):
        chunk = codes[start : start + rows]
        if allow is None:
            nearest.add(measure(chunk), start, None)
        else:
            kept = allow[start : start + rows].nonzero().flatten()
            nearest.add(measure(chunk[kept]), start, kept)
        start, rows = start + rows, min(rows * tuning.growth, most_rows)
    return nearest.merged()


class _Nearest:
    """The k nearest codes so far of some queries. Rows arrive in ascending order, so a later row loses every tie."""

    def __init__(self, queries: int, k: int, radius: int, device: torch.device) -> None:
        self.k = k
        none = torch.empty(0, dtype=torch.int64, device=device)
        self.best: Hits = (none, none, none)
        self.pending: list[Hits] = []
        self.levels = radius + 1
        self.bound = torch.full((queries,), radius + 1 if k else 0, device=device)  # distances below may still enter

    def add(self, distances: Tensor, start: int, kept: Tensor | None) -> None:
        """Add the codes that are nearer than the bound; ``kept`` is the row of each column, relative to ``start``."""
        query, column = (distances < self.bound[:, None].to(distances.dtype)).nonzero(as_tuple=True)
        row = column if kept is None else kept[column]
        self.pending.append((query, distances[query, column].long(), row + start))
        # merging costs as much as all earlier hits, so wait until there are as many new ones
        if sum(len(hits[0]) for hits in self.pending) > len(self.best[0]):
            self.best = self.merged()
            self._lower_bound()

    def merged(self) -> Hits:
        """Return the k best of all hits of each query, in order."""
        query, distance, row = (torch.cat(parts) for parts in zip(self.best, *self.pending, strict=True))
        self.pending = []
        order = torch.argsort(query * self.levels + distance, stable=True)  # rows ascend already, and stay so in a tie
        query = query[order]
        starts = torch.searchsorted(query, torch.arange(len(self.bound), device=query.device))
        near = torch.arange(len(query), device=query.device) - starts[query] < self.k
        order = order[near]
        return query[near], distance[order], row[order]

    def _lower_bound(self) -> None:
        """Set the bound of each query with k hits to its k-th distance."""
        query, distance, _ = self.best
        ends = torch.searchsorted(query, torch.arange(len(self.bound), device=query.device), right=True)
        full = torch.bincount(query, minlength=len(self.bound)) == self.k
        self.bound[full] = distance[ends[full] - 1]


def _measure(queries: Tensor, tuning: Tuning) -> tuple[Measure, int]:
    """Choose how distances are computed, and the number of codes in a chunk."""
    width = queries.shape[1]
    enough = tuning.product_queries.get(queries.device.type)
    if width <= _PRODUCT_WIDTH and enough is not None and len(queries) >= enough:
        return _by_product(queries), max(1, tuning.chunk_bytes // (2 * max(len(queries), 8 * width)))
    return _by_popcount(queries), max(1, tuning.chunk_bytes // (8 * len(queries) * ((width + 7) // 8)))


def _by_popcount(queries: Tensor) -> Measure:
    words = _words(queries)
    return lambda codes: _popcount(words[:, None, :] ^ _words(codes)).sum(-1, dtype=torch.int32)


def _words(codes: Tensor) -> Tensor:
    """Copy bytes ``(n, w)`` into int64 words ``(n, ceil(w / 8))``; a copy, since the bytes may be unaligned."""
    n, width = codes.shape
    padded = codes.new_zeros(n, (width + 7) // 8 * 8)
    padded[:, :width] = codes
    return padded.view(torch.int64)


def _popcount(x: Tensor) -> Tensor:
    """Count the one bits of each word, in place (Warren, Hacker's Delight, section 5-1).

    The words are signed: each mask also clears the copies of the sign bit after a shift.
    """
    x -= x >> 1 & 0x5555555555555555
    x = (x & 0x3333333333333333).add_(x >> 2 & 0x3333333333333333)
    x = x.add_(x >> 4).bitwise_and_(0x0F0F0F0F0F0F0F0F)
    return x.mul_(0x0101010101010101).bitwise_right_shift_(56)


def _by_product(queries: Tensor) -> Measure:
    """Compute ``distance = (8 w - q . c) / 2`` with the bits as -1 and +1."""
    bits = torch.arange(256, device=queries.device)[:, None] >> torch.arange(8, device=queries.device) & 1
    signs = (2 * bits - 1).to(torch.half)

    def spread(codes: Tensor) -> Tensor:
        return torch.nn.functional.embedding(codes.int(), signs).flatten(1)

    halved = spread(queries) * -0.5
    middle = torch.full((1,), 4.0 * queries.shape[1], dtype=torch.half, device=queries.device)
    return lambda codes: torch.addmm(middle, halved, spread(codes).T)
