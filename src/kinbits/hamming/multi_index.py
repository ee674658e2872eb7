"""Exact search in sublinear time: multi-index hashing over packed codes, with equal codes grouped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits.errors import ArtefactError, UsageError, unknown_name
from kinbits.hamming import strategy as strategy_module
from kinbits.hamming._native import MultiIndex as NativeIndex
from kinbits.hamming.checks import Codes, check_codes, check_count
from kinbits.hamming.mih_arrays import FORMAT, Groups, checked, fill_tables, group, sample, used_bits
from kinbits.hamming.near_duplicates import CHUNK, Pairs, pair_stream
from kinbits.hamming.search import Allow, Found, check_allow, thread_count, topk, within
from kinbits.hamming.strategy import Explanation

_STRATEGIES = ("auto", "scan", "grouped", "multi-index")
_ALL = np.empty(0, np.uint8)  # a filter that allows all rows


class MultiIndex:
    """Substring tables over packed codes, for exact k-nearest and radius search, and for all pairs within a radius.

    If two codes differ in at most ``r`` bits, then of ``m`` disjoint substrings at least one differs in at most
    ``r // m``. So looking up all near values of every substring finds all near codes (Norouzi, Punjani, Fleet: Fast
    Exact Search in Hamming Space with Multi-Index Hashing, TPAMI 2014, propositions 1 and 2). Here each substring has
    its own radius; this finds all codes within ``sum(radius + 1) - 1`` bits.

    Equal codes are searched once. The results equal those of `topk` and `within` with every strategy and any number of
    threads.

    Example:
        >>> import numpy as np
        >>> from kinbits.hamming import MultiIndex
        >>> index = MultiIndex.from_codes(np.array([[3], [1], [2], [0]], np.uint8))
        >>> distances, rows = index.topk(np.array([[0]], np.uint8), k=3)
        >>> distances.tolist(), rows.tolist()
        ([[0, 1, 1]], [[3, 1, 2]])
    """

    def __init__(self, codes: Codes, groups: Groups, native: NativeIndex, arrays: dict[str, NDArray[Any]]):
        """Not for users: use `from_codes` or `from_arrays`."""
        self._codes = codes
        self._groups = groups
        self._native = native
        self._arrays = arrays
        self._bits, self._substrings = (int(value) for value in arrays["layout"][4:])
        self._explain = lru_cache(256)(self._weigh)  # to weigh the samples takes as long as a short search

    @classmethod
    def from_codes(cls, codes: ArrayLike, *, substrings: int | None = None, threads: int | None = None) -> MultiIndex:
        """Group the codes and build the tables.

        Distinct 64-bit codes take 12 bytes per code, and 5 to 7 for every substring after the first: 24 bytes per code
        for 10^8 codes. Wider codes take 4 bytes per code, a copy of the distinct codes, and 8 bytes for every substring
        after the first. Building takes another 16 to 32 bytes per code.

        Args:
            codes: uint8 ``(n, w)``, packed; may be a memory map. ``strategy="scan"`` reads them.
            substrings: Number of substrings; by default chosen by the number of distinct codes and their bits.
            threads: Number of threads; by default `threads`.

        Raises:
            UsageError: If ``substrings`` makes them longer than 24 bits, or shorter than one.
            DataError: If the codes are not packed codes, or more than 4,294,967,294.
        """
        c = check_codes(codes)
        count = thread_count(threads)
        groups = group(c, count)
        bits = strategy_module.covered_bits(used_bits(c), len(groups.unique))
        m = strategy_module.choose_substrings(len(groups.unique), bits) if substrings is None else substrings
        if substrings is not None:
            bits = used_bits(c)
            if not -(-bits // strategy_module.LONGEST_SUBSTRING) <= check_count(substrings, "substrings") <= bits:
                least = -(-bits // strategy_module.LONGEST_SUBSTRING)
                raise UsageError(f"substrings={substrings}: give {least} to {bits} for codes of {bits} bits")
        native = groups.native()
        offsets, entries = fill_tables(native, groups, bits, m, count)
        layout = np.array([FORMAT, *c.shape, len(groups.unique), bits, m], np.int64)
        arrays = {
            "layout": layout,
            "unique": groups.unique,
            "starts": groups.starts,
            "rows": groups.rows,
            "offsets": offsets,
            "entries": entries,
            "samples": sample(native, groups, c, bits, count),
        }
        return cls(c, groups, native, arrays)

    @classmethod
    def from_arrays(cls, codes: ArrayLike, arrays: Mapping[str, NDArray[Any]]) -> MultiIndex:
        """Make an index of its saved arrays and its codes; both may be memory maps, which are not read through.

        Args:
            codes: uint8 ``(n, w)``, the codes of which the index was built.
            arrays: Result of `arrays`.

        Raises:
            DataError: If names, dtypes, shapes or ends do not fit. Other damage raises `ArtefactError` in a search, or
                changes results: compare the checksums of the files first.
        """
        c = check_codes(codes)
        own = {name: np.asarray(array) for name, array in arrays.items()}
        groups, bits, substrings = checked(c, own)
        native = groups.native()
        native.add_tables(bits, substrings, own["offsets"], own["entries"])
        return cls(c, groups, native, own)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all arrays except the codes by name, to be saved and passed to `from_arrays`."""
        return dict(self._arrays)

    def __len__(self) -> int:
        """Return the number of codes."""
        return len(self._codes)

    def topk(
        self,
        queries: ArrayLike,
        k: int,
        *,
        allow: Allow | None = None,
        strategy: str = "auto",
        threads: int | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Find the k nearest codes of each query, ordered by distance, then by row.

        Args:
            queries: uint8 ``(q, w)``, packed.
            k: Number of codes per query; if fewer are allowed, all of them.
            allow: Rows that may be found: bool ``(n,)``, or the same packed by
                ``numpy.packbits(mask, bitorder="little")``. None allows all.
            strategy: ``"auto"``, or ``"scan"``, ``"grouped"``, ``"multi-index"``; see `explain`.
            threads: Number of threads; by default `threads`.

        Returns:
            Distances int32 ``(q, k')`` and rows int64 ``(q, k')``, ``k' = min(k, allowed rows)``.

        Raises:
            UsageError: If ``k``, ``threads`` or ``strategy`` is invalid.
            DataError: If dtype, dimension or width do not fit.
            ArtefactError: If the arrays are damaged.
        """
        wanted, count = check_count(k, "k"), thread_count(threads)
        q = check_codes(queries, width=self._codes.shape[1], name="queries")
        passed = self._packed(allow)
        limit = self._allowed(passed, wanted)
        chosen = self._chosen(strategy, limit, np.inf, passed, len(q))
        if chosen == "scan":
            return topk(q, self._codes, wanted, allow=passed if len(passed) else None, threads=count)
        near, rows = np.empty((len(q), limit), np.int32), np.empty((len(q), limit), np.int64)
        if limit:
            with _DamageErrors():
                budget = self._budget(chosen, strategy)
                self._native.search(q, limit, 8 * q.shape[1], passed, budget, count, near, rows)
        return near, rows

    def within(
        self,
        queries: ArrayLike,
        radius: int,
        *,
        limit: int | None = None,
        allow: Allow | None = None,
        strategy: str = "auto",
        threads: int | None = None,
    ) -> list[Found]:
        """Find all codes within a Hamming radius of each query, ordered by distance, then by row.

        Args:
            queries: uint8 ``(q, w)``, packed.
            radius: Maximum distance in bits; 0 finds equal codes.
            limit: Maximum number of codes per query, nearest first; None for all.
            allow: As in `topk`.
            strategy: As in `topk`.
            threads: As in `topk`.

        Returns:
            One pair per query: distances int32 and rows int64, of the same length.

        Raises:
            UsageError: If ``radius``, ``limit``, ``threads`` or ``strategy`` is invalid.
            DataError: If dtype, dimension or width do not fit.
            ArtefactError: If the arrays are damaged.
        """
        radius = min(check_count(radius, "radius"), 8 * self._codes.shape[1])
        most = len(self) if limit is None else min(check_count(limit, "limit"), len(self))
        count = thread_count(threads)
        q = check_codes(queries, width=self._codes.shape[1], name="queries")
        passed = self._packed(allow)
        chosen = self._chosen(strategy, np.inf if limit is None else most, radius, passed, len(q))
        if chosen == "scan":
            kept = passed if len(passed) else None
            return within(q, self._codes, radius, limit=most, allow=kept, threads=count)
        with _DamageErrors():
            budget = self._budget(chosen, strategy)
            near, rows, counts = self._native.within(q, most, radius, passed, budget, count)
        ends = np.cumsum(counts)[:-1]
        return list(zip(np.split(near, ends), np.split(rows, ends), strict=True)) if len(q) else []

    def pairs(
        self, radius: int, *, allow: Allow | None = None, chunk: int = CHUNK, threads: int | None = None
    ) -> Iterator[Pairs]:
        """Find all pairs of rows whose codes differ in at most ``radius`` bits, each once.

        Pairs are ordered by the smaller code of the two, then by the larger one (codes compare as byte strings), then
        by their rows. The order is the same for every number of threads.

        Args:
            radius: Maximum distance in bits; 0 finds equal codes.
            allow: As in `topk`, for both rows of a pair.
            chunk: Maximum number of pairs in a chunk.
            threads: Number of threads; by default `threads`.

        Returns:
            An iterator over first rows int64 ``(c,)``, second rows int64 ``(c,)``, ``first < second``, and distances
            int32 ``(c,)``. It searches while it is consumed, so memory stays bounded.

        Raises:
            UsageError: If ``radius``, ``chunk`` or ``threads`` is invalid.
            DataError: If ``allow`` does not fit.
            ArtefactError: If the arrays are damaged.
        """
        most, count = min(check_count(radius, "radius"), 8 * self._codes.shape[1]), thread_count(threads)
        mask = self._mask(self._packed(allow))
        return self._pairs(most, mask, count, max(1, check_count(chunk, "chunk")))

    def explain(self, k: int | None = None, radius: int | None = None, queries: int = 1) -> Explanation:
        """Explain which strategy ``"auto"`` chooses for a search.

        When the index is built, it searches for sample queries: rows of the index, each without itself, half of them
        with a few bits flipped. Their cost is compared with a pass over all codes, and one over the distinct codes.

        Args:
            k: Maximum number of hits; None for no limit.
            radius: Maximum distance in bits; None for no limit.
            queries: Number of queries in one call.

        Raises:
            UsageError: If k and radius are both None, or one is negative.
        """
        if k is None and radius is None:
            raise UsageError("explain() needs k, radius or both; pass those of your search")
        wanted = np.inf if k is None else min(check_count(k, "k"), len(self))
        limit = np.inf if radius is None else check_count(radius, "radius")
        return self._explain(wanted, limit, check_count(queries, "queries"))

    def _weigh(self, k: float, radius: float, queries: int, filtered: bool = False) -> Explanation:
        return strategy_module.explanation(
            rows=len(self),
            distinct=len(self._groups.unique),
            width=self._codes.shape[1],
            bits=self._bits,
            substrings=self._substrings,
            samples=self._arrays["samples"],
            k=k,
            radius=radius,
            queries=queries,
            filtered=filtered,
        )

    def _chosen(self, strategy: str, k: float, radius: float, passed: NDArray[np.uint8], queries: int) -> str:
        if strategy not in _STRATEGIES:
            raise unknown_name("strategy", strategy, _STRATEGIES)
        if strategy != "auto":
            return strategy
        queries = min(queries, strategy_module.BATCH)  # more queries make no difference
        share = _share(passed)  # a search meets k / share rows until k are allowed
        return self._explain(k / share if share else np.inf, radius, queries, bool(len(passed))).strategy

    def _budget(self, chosen: str, strategy: str) -> float:
        """Return the nanoseconds that a query may spend in the tables."""
        if chosen == "grouped":
            return 0.0
        if strategy == "auto":
            return strategy_module.budget(len(self._groups.unique), self._codes.shape[1])
        return float(np.inf)

    def _packed(self, allow: Allow | None) -> NDArray[np.uint8]:
        """Return a filter as a bitmap; an empty one if all rows are allowed."""
        bitmap = check_allow(allow, len(self))
        return _ALL if bitmap is None else bitmap

    def _mask(self, packed: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
        return np.unpackbits(packed, count=len(self), bitorder="little").view(np.bool_) if len(packed) else None

    def _allowed(self, packed: NDArray[np.uint8], k: int) -> int:
        """Return min(k, allowed rows); counting stops at k."""
        if not len(packed):
            return min(k, len(self))
        found, step = 0, 1 << 16
        for begin in range(0, len(packed), step):
            if found >= k:
                break
            count = min(8 * step, len(self) - 8 * begin)
            found += int(np.unpackbits(packed[begin : begin + step], count=count, bitorder="little").sum())
        return min(k, found)

    def _pairs(self, radius: int, mask: NDArray[np.bool_] | None, threads: int, chunk: int) -> Iterator[Pairs]:
        with _DamageErrors():
            groups = self._groups if mask is None else self._groups.only(mask)
            native = self._pair_index(groups, radius, threads)
            yield from pair_stream(native, len(groups.unique), radius, threads, chunk=chunk)

    def _pair_index(self, groups: Groups, radius: int, threads: int) -> NativeIndex:
        """Return the kernel's view with the index's own tables, or with new ones if these pay off for the radius."""
        native, distinct = groups.native(), len(groups.unique)
        best = strategy_module.choose_substrings(distinct, self._bits, radius)
        costs = [strategy_module.radius_cost(distinct, self._bits, m, radius) for m in (self._substrings, best)]
        if distinct and costs[0] > costs[1] + strategy_module.TABLE_NS * best:
            fill_tables(native, groups, self._bits, best, threads)
        else:
            native.add_tables(self._bits, self._substrings, self._arrays["offsets"], self._arrays["entries"])
        return native


class _DamageErrors:
    """Turns the kernel's error for contradicting arrays into one that says what to do."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is ValueError:
            raise ArtefactError(
                "the arrays of this multi-index contradict each other: its file is damaged, or belongs to other codes; "
                "build it again with MultiIndex.from_codes"
            ) from error


def _share(packed: NDArray[np.uint8]) -> float:
    """Estimate the share of rows that a filter allows."""
    return float(np.unpackbits(packed[:: max(1, len(packed) // 4096)]).mean()) if len(packed) else 1.0
