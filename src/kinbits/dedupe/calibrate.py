"""The radius for copies, from the codes of the collection itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.dedupe.background import Background, ceiling_of, count_distances, fit_background
from kinbits.dedupe.calibration_result import Calibration
from kinbits.dedupe.near import NearPairs, PairSearch
from kinbits.dedupe.settings import TOLERANCE
from kinbits.dedupe.stars import star_groups
from kinbits.hamming import Codes

Rows = NDArray[np.int64]
ROUNDS = 4
_LEAST = 1000  # pairs that count as reported where fewer are, as long as one false pair is allowed at most
_COPIES = 0.1  # share of the items that have a copy, before any is found


@dataclass(frozen=True)
class Calibrated:
    """A calibration with what it found on the way.

    Attributes:
        result: For the report.
        background: Distances between different images.
        pairs: Pairs within the radius.
        search: Finds the pairs within another radius.
    """

    result: Calibration
    background: Background
    pairs: NearPairs
    search: PairSearch


def calibrate_radius(
    codes: Codes,
    rank: Rows,
    *,
    edits: Mapping[str, NDArray[np.int16]],
    bursts: tuple[Rows, Rows],
    tolerance: float = TOLERANCE,
    radius: int | None = None,
    seed: int = 0,
) -> Calibrated:
    """Choose the largest radius at which false pairs are as rare as wanted, and search for the pairs within it.

    Items near a better one are left out of the background after each round, and the radius is chosen again, until it
    stays: copies are not counted as different images.

    Args:
        codes: uint8 ``(n, w)``.
        rank: Rank of each item, ``(n,)``; the smallest is the best.
        edits: For each edit, the distances of sampled images to their edited copies.
        bursts: Pairs of rows that may be bursts; they do not count as different images.
        tolerance: Expected false pairs, as a share of the pairs found.
        radius: A given radius instead.
        seed: Seed of the sample of pairs.
    """
    n, bits = len(codes), 8 * codes.shape[1]
    total = n * (n - 1) / 2
    search = PairSearch(codes, rank)
    limit = bits if radius is None else min(radius, bits)
    ceiling = ceiling_of(count_distances(codes, seed))
    kept, best, seen = np.ones(n, np.bool_), -1, set[int]()
    background = Background(np.zeros(bits + 1, np.int64), np.zeros(bits + 1))
    for _ in range(ROUNDS):
        background = _background(codes, kept, bursts, ceiling, seed)
        expected = background.expected(total)
        best = _largest(expected[: limit + 1], search, n, tolerance)
        if best in seen:
            break
        seen.add(best)
        center, _ = star_groups(*_arrays(search(best)), rank) if best >= 0 else (np.arange(n), None)
        kept = center == np.arange(n)
    best = best if radius is None else limit  # items near a better one were left out only within the calibrated one
    pairs = search(best) if best >= 0 else search(0).only(np.zeros(len(search(0)), np.bool_))
    expected = background.expected(total)
    result = Calibration(
        radius=best,
        bits=bits,
        items=n,
        expected_false_pairs=float(expected[best]) if best >= 0 else 0.0,
        found_pairs=len(pairs),
        tolerance=tolerance,
        recall={name: float((apart <= best).mean()) for name, apart in edits.items()},
        false_pairs=tuple(float(f"{value:.6g}") for value in expected),
        background=background.describe(),
        sample=max((len(apart) for apart in edits.values()), default=0),
        pairs_sampled=background.pairs,
        given=radius is not None,
    )
    return Calibrated(result, background, pairs, search)


def _arrays(pairs: NearPairs) -> tuple[Rows, Rows, NDArray[np.int32]]:
    return pairs.first, pairs.second, pairs.distances


def _background(
    codes: Codes, kept: NDArray[np.bool_], bursts: tuple[Rows, Rows], ceiling: NDArray[np.float64], seed: int
) -> Background:
    """Count and fit the distances between the kept items, without bursts."""
    counts = count_distances(codes[kept], seed)
    n, bits = int(kept.sum()), len(counts) - 1
    share = counts.sum() / max(1, n * (n - 1) // 2)
    both = kept[bursts[0]] & kept[bursts[1]]
    apart = hamming.paired_distances(codes[bursts[0][both]], codes[bursts[1][both]])
    return fit_background(counts, np.bincount(apart, minlength=bits + 1) * share, ceiling)


def _largest(expected: NDArray[np.float64], search: PairSearch, n: int, tolerance: float) -> int:
    """Return the largest radius with few enough expected false pairs for the pairs found within it.

    A pair reported is an item with its representative. There are at least half as many as items that have a partner.
    The search begins at the radius for so many that one item in ten is one, and goes on while more are found that allow
    a larger radius.
    """
    reach = _within(expected, allowed_pairs(tolerance, np.full(len(expected), _COPIES * n / 2)))
    while True:
        found = search(max(reach, 0)).items_with_partner(n, len(expected) - 1) / 2
        found[reach + 1 :] = found[max(reach, 0)]
        allowed = _within(expected, allowed_pairs(tolerance, found))
        if allowed <= reach:
            return allowed
        reach = allowed


def allowed_pairs(tolerance: float, found: NDArray[Any]) -> NDArray[np.float64]:
    """Return the number of false pairs that are allowed where so many pairs are found."""
    return np.maximum(tolerance * found, min(1.0, tolerance * _LEAST))


def _within(expected: NDArray[np.float64], allowed: NDArray[np.float64]) -> int:
    """Return the largest radius at which no more than allowed is expected; -1 if there is none."""
    fits = np.flatnonzero(expected <= allowed)
    return int(fits[-1]) if len(fits) else -1
