"""Exact search below linear time: multi-index hashing over packed codes, with equal codes grouped."""

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
from kinbits.hamming.near_duplicates import Pairs, pair_stream
from kinbits.hamming.search import Allow, Found, check_allow, thread_count, topk, within
from kinbits.hamming.strategy import Explanation

_STRATEGIES = ("auto", "scan", "grouped", "multi-index")
_ALL = np.empty(0, np.uint8)  # stands for a filter that lets everything pass


class MultiIndex:
    """Substring tables over packed codes, for exact k-nearest and radius search, and for all pairs within a radius.

    If two codes differ in at most ``r`` bits, then of ``m`` disjoint substrings at least one differs in at most
    ``r // m``: looking up all near values of every substring finds all near codes (Norouzi, Punjani, Fleet: Fast
    Exact Search in Hamming Space with Multi-Index Hashing, TPAMI 2014, propositions 1 and 2). Here each substring has
    a reach of its own; all codes within ``sum(reach + 1) - 1`` bits are then found.

    Equal codes are grouped once and searched as one. The answers equal those of `topk` and `within`, whatever the
    strategy and the number of threads.

    Example:
        >>> import numpy as np
        >>> from kinbits.hamming import MultiIndex
        >>> index = MultiIndex.from_codes(np.array([[3], [1], [2], [0]], np.uint8))
        >>> distances, rows = index.topk(np.array([[0]], np.uint8), k=3)
        >>> distances.tolist(), rows.tolist()
        ([[0, 1, 1]], [[3, 1, 2]])
    """

    def __init__(self, codes: Codes, groups: Groups, native: NativeIndex, arrays: dict[str, NDArray[Any]]):
        """Take finished parts; use `from_codes` or `from_arrays`."""
        self._codes = codes
        self._groups = groups
        self._native = native
        self._arrays = arrays
        self._bits, self._substrings = (int(value) for value in arrays["layout"][4:])
        self._explain = lru_cache(256)(self._weigh)  # to weigh the samples takes as long as a short search

    @classmethod
    def from_codes(cls, codes: ArrayLike, *, substrings: int | None = None, threads: int | None = None) -> MultiIndex:
        """Group the codes and build the tables.

        For n distinct 64-bit codes it takes 12 bytes per code, and 5 to 7 more for every substring after the first: 24
        together for 10^8 codes. Wider codes take 4 bytes, a copy of the distinct ones, and 8 for every substring after
        the first. While building it takes 16 to 32 bytes per code more.

        Args:
            codes: uint8 ``(n, w)``, packed; may be a memory map. They are read again by ``strategy="scan"``.
            substrings: How many; by default chosen from the number of distinct codes and their bits.
            threads: How many build; by default as many as this process may use.

        Raises:
            UsageError: if so many substrings would be longer than 24 bits, or shorter than one.
            DataError: if the codes are no packed codes, or more than 4,294,967,294.
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
                raise UsageError(f"substrings={substrings}: codes of {bits} bits take {least} to {bits}")
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
        """Take up the arrays of an index over the same codes; both may be memory maps, and are not read through.

        Args:
            codes: uint8 ``(n, w)``, the codes that the index was built from.
            arrays: What `arrays` returned.

        Raises:
            DataError: if names, dtypes, shapes or ends do not fit. Damage that cannot be seen at the ends raises
                `ArtefactError` when a search meets it, or changes answers: check the files' checksums.
        """
        c = check_codes(codes)
        own = {name: np.asarray(array) for name, array in arrays.items()}
        groups, bits, substrings = checked(c, own)
        native = groups.native()
        native.add_tables(bits, substrings, own["offsets"], own["entries"])
        return cls(c, groups, native, own)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything but the codes, by name, to be saved as it is and given to `from_arrays`."""
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
            k: How many; where fewer codes are allowed, all of these are returned.
            allow: bool ``(n,)``, or such a mask packed by ``numpy.packbits(mask, bitorder="little")``: only rows that
                are True can be found. None allows all.
            strategy: ``"auto"``, or ``"scan"``, ``"grouped"``, ``"multi-index"``; see `explain`.
            threads: How many search at a time; by default as many as this process may use.

        Returns:
            Distances int32 ``(q, k')`` and rows int64 ``(q, k')``, ``k' = min(k, allowed rows)``.

        Raises:
            UsageError: if ``k``, ``threads`` or ``strategy`` are impossible.
            DataError: if dtype, dimension or width do not fit.
            ArtefactError: if the arrays turn out to be damaged.
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
            with _Undamaged():
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
            radius: Largest distance that counts, in bits; 0 finds equal codes.
            limit: At most so many, the nearest, for each query; None for all.
            allow: As in `topk`.
            strategy: As in `topk`.
            threads: As in `topk`.

        Returns:
            One pair per query: distances int32 and rows int64, of the same length.

        Raises:
            UsageError: if ``radius``, ``limit``, ``threads`` or ``strategy`` are impossible.
            DataError: if dtype, dimension or width do not fit.
            ArtefactError: if the arrays turn out to be damaged.
        """
        reach = min(check_count(radius, "radius"), 8 * self._codes.shape[1])
        most = len(self) if limit is None else min(check_count(limit, "limit"), len(self))
        count = thread_count(threads)
        q = check_codes(queries, width=self._codes.shape[1], name="queries")
        passed = self._packed(allow)
        chosen = self._chosen(strategy, np.inf if limit is None else most, reach, passed, len(q))
        if chosen == "scan":
            kept = passed if len(passed) else None
            return within(q, self._codes, reach, limit=most, allow=kept, threads=count)
        with _Undamaged():
            budget = self._budget(chosen, strategy)
            near, rows, counts = self._native.within(q, most, reach, passed, budget, count)
        ends = np.cumsum(counts)[:-1]
        return list(zip(np.split(near, ends), np.split(rows, ends), strict=True)) if len(q) else []

    def pairs(self, radius: int, *, allow: Allow | None = None, threads: int | None = None) -> Iterator[Pairs]:
        """Find all pairs of rows whose codes differ in at most ``radius`` bits, each once.

        The pairs come in chunks of about a million at most, ordered by the smaller code of the two, then by the larger
        one (codes compare as byte strings), then by the row of each: the same order for every number of threads.

        Args:
            radius: Largest distance that counts, in bits; 0 finds equal codes.
            allow: As in `topk`: both rows of a pair are allowed.
            threads: How many search at a time; by default as many as this process may use.

        Returns:
            An iterator over first rows int64 ``(c,)``, second rows int64 ``(c,)``, ``first < second``, and distances
            int32 ``(c,)``. It searches as it is asked on: memory stays bounded however many pairs there are.

        Raises:
            UsageError: if ``radius`` or ``threads`` are impossible.
            DataError: if ``allow`` does not fit.
            ArtefactError: if the arrays turn out to be damaged.
        """
        reach, count = min(check_count(radius, "radius"), 8 * self._codes.shape[1]), thread_count(threads)
        mask = self._mask(self._packed(allow))
        return self._pairs(reach, mask, count)

    def explain(self, k: int | None = None, radius: int | None = None, queries: int = 1) -> Explanation:
        """Tell which strategy ``"auto"`` takes for a search, and why.

        Sample queries were searched when the index was built: rows of the index, each left out of its own search, half
        of them with a few bits flipped. What they cost is compared with a pass over all codes, and one over the
        distinct codes.

        Args:
            k: Rows wanted; None for no limit.
            radius: Largest distance wanted; None for no limit.
            queries: How many are asked together.

        Raises:
            UsageError: if both k and radius are None, or one is negative.
        """
        if k is None and radius is None:
            raise UsageError("explain() was given neither k nor radius: give the one that you search with, or both")
        wanted = np.inf if k is None else min(check_count(k, "k"), len(self))
        reach = np.inf if radius is None else check_count(radius, "radius")
        return self._explain(wanted, reach, check_count(queries, "queries"))

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
        queries = min(queries, strategy_module.BATCH)  # more make no difference
        share = _share(passed)  # to find k allowed rows, a search meets this many times as many
        return self._explain(k / share if share else np.inf, radius, queries, bool(len(passed))).strategy

    def _budget(self, chosen: str, strategy: str) -> float:
        """Return the nanoseconds that a query may spend on the tables."""
        if chosen == "grouped":
            return 0.0
        if strategy == "auto":
            return strategy_module.budget(len(self._groups.unique), self._codes.shape[1])
        return float(np.inf)

    def _packed(self, allow: Allow | None) -> NDArray[np.uint8]:
        """Return a filter as a bitmap; an empty one, if everything is allowed."""
        bitmap = check_allow(allow, len(self))
        return _ALL if bitmap is None else bitmap

    def _mask(self, packed: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
        return np.unpackbits(packed, count=len(self), bitorder="little").view(np.bool_) if len(packed) else None

    def _allowed(self, packed: NDArray[np.uint8], k: int) -> int:
        """Return min(k, allowed rows), without counting on where the first ones are enough."""
        if not len(packed):
            return min(k, len(self))
        found, step = 0, 1 << 16
        for begin in range(0, len(packed), step):
            if found >= k:
                break
            count = min(8 * step, len(self) - 8 * begin)
            found += int(np.unpackbits(packed[begin : begin + step], count=count, bitorder="little").sum())
        return min(k, found)

    def _pairs(self, radius: int, mask: NDArray[np.bool_] | None, threads: int) -> Iterator[Pairs]:
        with _Undamaged():
            groups = self._groups if mask is None else self._groups.only(mask)
            yield from pair_stream(self._pair_index(groups, radius, threads), len(groups.unique), radius, threads)

    def _pair_index(self, groups: Groups, radius: int, threads: int) -> NativeIndex:
        """Return the kernel's view with the index's own tables, or with others where these pay for the radius."""
        native, distinct = groups.native(), len(groups.unique)
        best = strategy_module.choose_substrings(distinct, self._bits, radius)
        costs = [strategy_module.radius_cost(distinct, self._bits, m, radius) for m in (self._substrings, best)]
        if distinct and costs[0] > costs[1] + strategy_module.TABLE_NS * best:
            fill_tables(native, groups, self._bits, best, threads)
        else:
            native.add_tables(self._bits, self._substrings, self._arrays["offsets"], self._arrays["entries"])
        return native


class _Undamaged:
    """Turns the kernel's complaint about contradicting arrays into an error that says what to do."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is ValueError:
            raise ArtefactError(
                "the arrays of this multi-index contradict each other: its file is damaged, or belongs to other codes; "
                "build it anew from the codes (MultiIndex.from_codes)"
            ) from error


def _share(packed: NDArray[np.uint8]) -> float:
    """Return which share of the rows a filter lets pass, about."""
    return float(np.unpackbits(packed[:: max(1, len(packed) // 4096)]).mean()) if len(packed) else 1.0
