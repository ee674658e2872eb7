"""Expected costs of a search by scan, by scan of the distinct codes, and by multi-index; the cheapest is chosen."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Nanoseconds of one thread per step; the kernel uses the same numbers.
PROBE_NS = 20.0
ENTRY_NS = 1.0
WORD_NS = 0.5  # eight bytes of a code, read from memory for one query
BATCH_WORD_NS = 0.12  # the same if many queries share one pass over the codes
GROUP_NS = 50.0  # look up a group to count its allowed rows
ROW_NS = 1.5  # check one row of a group
TABLE_NS = 30.0  # insert a code into a table
BATCH = 16  # minimum number of queries that share a pass
LONGEST_SUBSTRING = 24  # bits; the offsets of one table then take 64 MiB
MOST_TABLES = 32  # longer codes are searched by their first bits, whose distance is never larger
_REASONS = {
    "scan": "a pass over all codes is cheapest",
    "grouped": "a pass over the distinct codes is cheapest",
    "multi-index": "probing the substring tables is cheapest",
}


@dataclass(frozen=True)
class Explanation:
    """The strategy that ``"auto"`` chooses for a search, and the expected costs.

    Attributes:
        strategy: ``"scan"``, ``"grouped"`` or ``"multi-index"``.
        reason: Reason for the choice.
        rows: Number of codes.
        distinct: Number of distinct codes.
        bits: Number of bits that the substrings cover together.
        substrings: Number of substring tables.
        probes: Expected number of buckets that a query looks up; None if no sample query got that far.
        entries: Expected number of codes in these buckets; None if no sample query got that far.
        scan_ms: Expected time of one query by scan, in milliseconds of one thread.
        grouped_ms: The same by scan of the distinct codes.
        multi_index_ms: The same by multi-index.
    """

    strategy: str
    reason: str
    rows: int
    distinct: int
    bits: int
    substrings: int
    probes: float | None
    entries: float | None
    scan_ms: float
    grouped_ms: float
    multi_index_ms: float

    def __str__(self) -> str:
        effort = (
            "costs more than a scan"
            if self.probes is None
            else f"{self.probes:,.0f} probes, {self.entries:,.0f} entries"
        )
        return (
            f"{self.strategy}: {self.reason}\n"
            f"{self.rows:,} codes, {self.distinct:,} distinct; {self.substrings} substrings over {self.bits} bits\n"
            f"expected per query: scan {self.scan_ms:.3g} ms, grouped {self.grouped_ms:.3g} ms, "
            f"multi-index {self.multi_index_ms:.3g} ms ({effort})"
        )


def explanation(
    *,
    rows: int,
    distinct: int,
    width: int,
    bits: int,
    substrings: int,
    samples: NDArray[np.int64],
    k: float,
    radius: float,
    queries: int,
    filtered: bool = False,
) -> Explanation:
    """Choose the strategy with the smallest expected cost.

    Args:
        rows: Number of codes.
        distinct: Number of distinct codes.
        width: Bytes of a code.
        bits: Bits that the substrings cover.
        substrings: Number of substrings.
        samples: Rows within each radius, and probes and entries up to it, int64 ``(samples, radii, 3)``; -1 after the
            sample query was given up.
        k: Maximum number of hits; infinite without a limit. With a filter: expected rows until k allowed ones are met.
        radius: Maximum distance; infinite without a limit.
        queries: Number of queries in one call.
        filtered: Whether rows of groups are checked one by one.
    """
    words = (width + 7) // 8
    counting = _counting(rows, distinct, k) if filtered else 0.0
    grouped = distinct * words * WORD_NS + counting
    whole = rows * words * (WORD_NS if queries < BATCH else BATCH_WORD_NS)
    probes, entries, reached = _effort(samples, k, radius)
    indexed = float(
        np.where(reached, probes * PROBE_NS + entries * ENTRY_NS + counting, budget(distinct, width) + grouped).mean()
    )
    costs = {"scan": whole, "grouped": grouped, "multi-index": indexed}
    strategy = min(costs, key=costs.__getitem__)  # the first of equals
    known = bool(reached.all())
    return Explanation(
        strategy=strategy,
        reason=_REASONS[strategy],
        rows=rows,
        distinct=distinct,
        bits=bits,
        substrings=substrings,
        probes=float(probes.mean()) if known else None,
        entries=float(entries.mean()) if known else None,
        scan_ms=whole * 1e-6,
        grouped_ms=grouped * 1e-6,
        multi_index_ms=indexed * 1e-6,
    )


def budget(distinct: int, width: int) -> float:
    """Return the nanoseconds after which a query leaves the tables and scans the distinct codes."""
    return 0.5 * distinct * ((width + 7) // 8) * WORD_NS


def _counting(rows: int, distinct: int, k: float) -> float:
    """Return the expected nanoseconds to count allowed rows in the groups below a falling bound."""
    met = min(distinct, k * (1 + math.log(max(1.0, distinct / k)))) if 0 < k < math.inf else distinct
    asked = min(rows, met * min(k, rows / max(1, distinct)))
    return met * GROUP_NS + asked * ROW_NS


def _effort(
    samples: NDArray[np.int64], k: float, radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the probes and entries of each sample until its search ends, and whether it ended."""
    if not len(samples):
        return np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1, np.bool_)
    known = samples[:, :, 1] >= 0
    ended = known & ((samples[:, :, 0] >= k) | (np.arange(samples.shape[1]) >= radius))
    reached: NDArray[np.bool_] = np.any(ended, axis=1)
    last = ended.argmax(axis=1)
    steps = samples[np.arange(len(samples)), last]
    return steps[:, 1], steps[:, 2], reached


def substring_bits(bits: int, substrings: int) -> list[int]:
    """Return the lengths of the substrings, which differ by at most one bit; longer ones come first."""
    return [bits // substrings + (i < bits % substrings) for i in range(substrings)]


def radius_cost(distinct: int, bits: int, substrings: int, radius: int) -> float:
    """Return the expected nanoseconds of a search within a radius, for codes spread evenly over their space."""

    def shell(length: int, apart: int) -> float:
        return math.comb(length, apart) * (PROBE_NS + distinct / 2.0**length * ENTRY_NS)

    shells = [(shell(length, 0), length, 0) for length in substring_bits(bits, substrings)]
    heapq.heapify(shells)
    total = 0.0
    for _ in range(radius + 1):
        if not shells:
            break
        cost, length, apart = heapq.heappop(shells)
        total += cost
        if apart < length:
            heapq.heappush(shells, (shell(length, apart + 1), length, apart + 1))
    return total


def covered_bits(bits: int, distinct: int) -> int:
    """Return the number of bits that the substrings of a new index cover."""
    return min(bits, MOST_TABLES * _longest(distinct))


def choose_substrings(distinct: int, bits: int, radius: int | None = None) -> int:
    """Return the number of substrings with the smallest expected cost of a search.

    Args:
        distinct: Number of distinct codes.
        bits: Number of bits to cover.
        radius: Radius of the search; by default that of 100 neighbours in evenly spread codes, but at most a quarter
            of the bits, because real codes are closer together.
    """
    if radius is None:
        radius = min(_even_radius(distinct, bits, 100), max(1, bits // 4))
    least = -(-bits // _longest(distinct))
    return min(range(least, min(least + 8, bits) + 1), key=lambda m: radius_cost(distinct, bits, m, radius))


def _longest(distinct: int) -> int:
    """Return the maximum length of a substring, which gives about as many buckets as codes."""
    return min(LONGEST_SUBSTRING, max(4, distinct.bit_length() + 1))


def _even_radius(distinct: int, bits: int, k: int) -> int:
    """Return the radius within which k of ``distinct`` evenly spread codes are expected."""
    wanted, ball = min(k, distinct) * 2**bits, 0
    for radius in range(bits + 1):
        ball += math.comb(bits, radius)
        if ball * distinct >= wanted:
            return radius
    return bits
