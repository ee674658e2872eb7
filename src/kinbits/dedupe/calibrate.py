"""The radius for copies, from the codes of the collection itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

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
    near = _CodePairs(codes, PairSearch(codes, rank), bursts, seed)
    limit = bits if radius is None else min(radius, bits)
    best, background = choose_radius(near, rank, tolerance=tolerance, limit=limit)
    best = best if radius is None else limit  # items near a better one were left out only within the calibrated one
    pairs = near.search(best) if best >= 0 else near.search(0).only(np.zeros(len(near.search(0)), np.bool_))
    result = describe_radius(
        best,
        background,
        pairs,
        bits=bits,
        items=n,
        tolerance=tolerance,
        recall={name: float((apart <= best).mean()) for name, apart in edits.items()},
        sample=max((len(apart) for apart in edits.values()), default=0),
        given=radius is not None,
    )
    return Calibrated(result, background, pairs, near.search)


def describe_radius(
    radius: int,
    background: Background,
    pairs: NearPairs,
    *,
    bits: int,
    items: int,
    tolerance: float,
    recall: Mapping[str, float],
    sample: int,
    given: bool,
) -> Calibration:
    """Return a radius with the false pairs to expect; all else is as in `Calibration`.

    Args:
        radius: The radius; -1 for none.
        background: Distances between different images.
        pairs: Pairs within the radius.
        bits: Length of the codes.
        items: Number of items.
        tolerance: Expected false pairs, as a share of the pairs found.
        recall: For each edit, the share of copies that are found.
        sample: Number of images that were edited.
        given: Whether the radius was given.
    """
    expected = background.expected(items * (items - 1) / 2)
    return Calibration(
        radius=radius,
        bits=bits,
        items=items,
        expected_false_pairs=float(expected[radius]) if radius >= 0 else 0.0,
        found_pairs=len(pairs),
        tolerance=tolerance,
        recall=recall,
        false_pairs=tuple(float(f"{value:.6g}") for value in expected),
        background=background.describe(),
        sample=sample,
        pairs_sampled=background.pairs,
        given=given,
    )


class Pairs(Protocol):
    """Pairs of rows with a distance, as a whole number."""

    def __call__(self, radius: int) -> NearPairs:
        """Return the pairs within a radius."""

    def count(self, kept: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Count the distances between kept rows, and which of them are no different images, by distance."""


Fit = Callable[[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]], Background]


def choose_radius(
    near: Pairs, rank: Rows, *, tolerance: float, limit: int, fit: Fit = fit_background
) -> tuple[int, Background]:
    """Choose the largest radius at which false pairs are as rare as wanted.

    Args:
        near: All pairs.
        rank: Rank of each row, ``(n,)``; the smallest is the best.
        tolerance: Expected false pairs, as a share of the pairs found.
        limit: Largest radius.
        fit: Makes the background of counts, those that do not count, and an upper bound of its shares.

    Returns:
        The radius, -1 if there is none, and the distances between different images.
    """
    n = len(rank)
    counted = near.count(np.ones(n, np.bool_))
    ceiling, seen = ceiling_of(counted[0]), set[int]()
    while True:
        background = fit(*counted, ceiling)
        best = _largest(background.expected(n * (n - 1) / 2)[: limit + 1], near, n, tolerance)
        if best in seen or len(seen) == ROUNDS - 1:
            return best, background
        seen.add(best)
        center, _ = star_groups(*_arrays(near(best)), rank) if best >= 0 else (np.arange(n), None)
        counted = near.count(center == np.arange(n))


@dataclass(frozen=True)
class _CodePairs:
    """Pairs of codes.

    Attributes:
        codes: uint8 ``(n, w)``.
        search: Finds the near ones.
        bursts: Pairs of rows that may be bursts.
        seed: Seed of the sample of pairs that are counted.
    """

    codes: Codes
    search: PairSearch
    bursts: tuple[Rows, Rows]
    seed: int

    def __call__(self, radius: int) -> NearPairs:
        return self.search(radius)

    def count(self, kept: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Count the distances between kept rows, and those of bursts among them."""
        counts = count_distances(self.codes[kept], self.seed)
        n = int(kept.sum())
        share = counts.sum() / max(1, n * (n - 1) // 2)
        first, second = (side[kept[self.bursts[0]] & kept[self.bursts[1]]] for side in self.bursts)
        apart = hamming.paired_distances(self.codes[first], self.codes[second])
        return counts, np.bincount(apart, minlength=len(counts)) * share


def _arrays(pairs: NearPairs) -> tuple[Rows, Rows, NDArray[np.int32]]:
    return pairs.first, pairs.second, pairs.distances


def _largest(expected: NDArray[np.float64], search: Pairs, n: int, tolerance: float) -> int:
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
