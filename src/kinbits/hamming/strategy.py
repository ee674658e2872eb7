"""What a search is going to cost, by scan, by scan of the distinct codes, and by multi-index; and which to take."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Nanoseconds of one thread per step; the kernel's search counts with the same ones.
PROBE_NS = 20.0
ENTRY_NS = 1.0
WORD_NS = 0.5  # eight bytes of a code, read from memory for one query
BATCH_WORD_NS = 0.12  # the same where many queries share one pass over the codes
GROUP_NS = 50.0  # a group looked up, to count those of its rows that a filter lets pass
ROW_NS = 1.5  # a row of it asked for
TABLE_NS = 30.0  # to put a code into a table
BATCH = 16  # queries from which on a pass counts as shared
LONGEST_SUBSTRING = 24  # bits; the offsets of one table then take 64 MiB
MOST_TABLES = 32  # longer codes are searched by their first bits: what is within a radius is so in these bits too
_REASONS = {
    "scan": "one pass over all codes costs least",
    "grouped": "one pass over the distinct codes costs least",
    "multi-index": "probing the substring tables costs least",
}


@dataclass(frozen=True)
class Explanation:
    """Which strategy ``"auto"`` takes for a search, and the numbers that speak for it.

    Attributes:
        strategy: ``"scan"``, ``"grouped"`` or ``"multi-index"``.
        reason: Why, in one sentence.
        rows: Codes in the index.
        distinct: Different codes among them.
        bits: Bits that the substrings cover together.
        substrings: Substring tables.
        probes: Buckets that a query is expected to look into; None if the sample queries did not get so far.
        entries: Codes that it is expected to find there; None as above.
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
            "more than a scan" if self.probes is None else f"{self.probes:,.0f} probes, {self.entries:,.0f} entries"
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
    """Choose by the expected cost.

    Args:
        rows: Codes in the index.
        distinct: Different codes among them.
        width: Bytes of a code.
        bits: Bits that the substrings cover.
        substrings: Their number.
        samples: int64 ``(samples, radii, 3)``: rows within each radius, and probes and entries up to it; -1 where the
            sample query was given up.
        k: Rows wanted; infinite if there is no limit. Under a filter: as many rows as must be met to find k allowed.
        radius: Largest distance wanted; infinite if there is none.
        queries: How many are asked together.
        filtered: Whether rows of the groups have to be asked for one by one.
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
    """Return the nanoseconds after which a query gives the tables up and scans the distinct codes."""
    return 0.5 * distinct * ((width + 7) // 8) * WORD_NS


def _counting(rows: int, distinct: int, k: float) -> float:
    """Return the nanoseconds to count allowed rows, in about as many groups as a falling bound lets in."""
    met = min(distinct, k * (1 + math.log(max(1.0, distinct / k)))) if 0 < k < math.inf else distinct
    asked = min(rows, met * min(k, rows / max(1, distinct)))
    return met * GROUP_NS + asked * ROW_NS


def _effort(
    samples: NDArray[np.int64], k: float, radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return each sample's probes and entries up to the radius that ends the search, and whether it got there."""
    if not len(samples):
        return np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1, np.bool_)
    known = samples[:, :, 1] >= 0
    ended = known & ((samples[:, :, 0] >= k) | (np.arange(samples.shape[1]) >= radius))
    reached: NDArray[np.bool_] = np.any(ended, axis=1)
    last = ended.argmax(axis=1)
    steps = samples[np.arange(len(samples)), last]
    return steps[:, 1], steps[:, 2], reached


def substring_bits(bits: int, substrings: int) -> list[int]:
    """Return the lengths of the substrings: as equal as can be, the first ones longer."""
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
    """Return how many of the bits the substrings of a new index cover."""
    return min(bits, MOST_TABLES * _longest(distinct))


def choose_substrings(distinct: int, bits: int, radius: int | None = None) -> int:
    """Return the number of substrings that makes a search cheapest.

    Args:
        distinct: Different codes.
        bits: Bits to be covered.
        radius: Distance up to which it searches; by default that of 100 neighbours in codes spread evenly. Real codes
            lie closer together: a quarter of the bits at most.
    """
    if radius is None:
        radius = min(_even_radius(distinct, bits, 100), max(1, bits // 4))
    least = -(-bits // _longest(distinct))
    return min(range(least, min(least + 8, bits) + 1), key=lambda m: radius_cost(distinct, bits, m, radius))


def _longest(distinct: int) -> int:
    """Return the most bits that a substring may have: as many buckets as codes, about."""
    return min(LONGEST_SUBSTRING, max(4, distinct.bit_length() + 1))


def _even_radius(distinct: int, bits: int, k: int) -> int:
    """Return the distance within which k of so many evenly spread codes are expected."""
    wanted, ball = min(k, distinct) * 2**bits, 0
    for radius in range(bits + 1):
        ball += math.comb(bits, radius)
        if ball * distinct >= wanted:
            return radius
    return bits
