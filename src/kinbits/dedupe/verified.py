"""Copies that were looked at: pairs that codes or PDQ name, each judged by its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.dedupe.background import Background, count_distances, fit_background
from kinbits.dedupe.calibrate import choose_radius, describe_radius
from kinbits.dedupe.calibration_result import Calibration
from kinbits.dedupe.edited import EditedCopies
from kinbits.dedupe.looking import Looking
from kinbits.dedupe.near import NearPairs, PairSearch, pair_keys
from kinbits.hamming import Codes

Rows = NDArray[np.int64]
LEVELS = 100
"""A pair of similarity s has distance 100 (1 - s), rounded."""
LEAST = 0.4
"""Similarity that a copy must have, even where a smaller one would tell it from other images."""
ENOUGH = 0.6
"""Similarity that is always enough: such images show one scene at least, and a person can tell which to keep."""
# Distances that the fit may read: most nearer pairs are copies; of farther ones, with next to nothing in common, there
# are more than were looked at.
_FIRST, _LAST = 40, 95
CODE_PAIRS, HASH_PAIRS = 5, 1  # pairs that are looked at for each image: of near codes, of near PDQ
HASH_REACH = 48  # bits between PDQ hashes at which they stop to count as similar; 31 are taken for one image
# Where similar pairs are too few to fit: how their number falls with the similarity, to 1/e; and the similarities at
# which pairs are counted to start from, below that of copies. Two sets of 1,000 photos fell within 0.06 and 0.15.
_FALL, _COUNTED = 0.15, (0.1, 0.15, 0.2, 0.25, 0.3)
PACKAGES = "cv2", "pdqhash"


def can_verify() -> bool:
    """Return whether the packages work that pairs are looked at with."""
    try:
        for name in PACKAGES:
            import_module(name)
    except ImportError:
        return False
    return True


@dataclass(frozen=True)
class LookedAt:
    """Pairs that were looked at.

    Attributes:
        radius: Bits between codes within which all pairs were.
        hash_radius: Bits between PDQ hashes within which all were.
        pairs: The pairs, with 100 (1 - similarity) as their distances.
        rows: Number of rows of the collection.
    """

    radius: int
    hash_radius: int
    pairs: NearPairs
    rows: int

    def __call__(self, radius: int) -> NearPairs:
        """Return the pairs within a distance."""
        return self.pairs.within(radius)

    def count(self, kept: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Count the distances between kept rows, and those that are no different images: none."""
        both = kept[self.pairs.first] & kept[self.pairs.second]
        counts = np.bincount(self.pairs.distances[both], minlength=LEVELS + 1).astype(np.int64)
        n = int(kept.sum())
        counts[LEVELS] += n * (n - 1) // 2 - int(both.sum())  # no code names them: they are not alike
        return counts, np.zeros(LEVELS + 1)


def look_at_pairs(
    codes: Codes, search: PairSearch, looking: Looking, rank: Rows, bursts: tuple[Rows, Rows], seed: int
) -> LookedAt:
    """Look at the pairs of near codes and near hashes, about six for each image, but not at bursts.

    Args:
        codes: uint8 ``(n, w)``.
        search: Finds pairs of near codes.
        looking: Looks at images.
        rank: Rank of each row, ``(n,)``.
        bursts: Pairs of rows that may be bursts.
        seed: Seed of the sample of pairs.
    """
    n = len(codes)
    radius = reach_of(codes, CODE_PAIRS, seed)
    named = [search(radius)]
    hashes, trusted = looking.hashes(n)
    rows = np.flatnonzero(trusted)
    hash_radius = min(reach_of(hashes[rows], HASH_PAIRS, seed), HASH_REACH) if len(rows) else 0
    if len(rows):
        near = PairSearch(hashes[rows], rank[rows])(hash_radius)
        named.append(NearPairs(rows[near.first], rows[near.second], near.distances))
    keys = np.unique(np.concatenate([pair_keys(pairs.first, pairs.second, n) for pairs in named]))
    keys = keys[~np.isin(keys, pair_keys(*bursts, n))]
    first, second = keys // n, keys % n
    alike = compare_pairs(looking, hashes, trusted, first, second)
    return LookedAt(radius, hash_radius, NearPairs(first, second, _levels(alike)), n)


def compare_pairs(
    looking: Looking, hashes: Codes, trusted: NDArray[np.bool_], first: Rows, second: Rows
) -> NDArray[np.float64]:
    """Return the similarity of each pair of rows, by pixels or by PDQ where that says more, ``(p,)``."""
    by_hash = hash_similarity(hamming.paired_distances(hashes[first], hashes[second]))
    return np.maximum(looking.similarities(first, second), by_hash * (trusted[first] & trusted[second]))


def reach_of(codes: Codes, each: int, seed: int) -> int:
    """Return the largest radius within which there are at most so many pairs for each row."""
    counts = count_distances(codes, seed)
    n, sums = len(codes), np.cumsum(counts)
    share = each * n / max(1, n * (n - 1) // 2)
    return max(int(np.searchsorted(sums, share * sums[-1], side="right")) - 1, 0)


def hash_similarity(bits: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Return what so many bits between two PDQ hashes are as a similarity."""
    return np.maximum(0.0, 1.0 - bits / HASH_REACH)


def _levels(alike: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.rint(LEVELS * (1 - alike)).astype(np.int32)


def calibrate_similarity(
    looked: LookedAt,
    rank: Rows,
    *,
    edits: Mapping[str, EditedCopies],
    bits: int,
    tolerance: float,
    similarity: float | None,
) -> tuple[Calibration, NearPairs]:
    """Choose the least similarity of a copy: 0.4, or up to 0.6 where false pairs would not be rare enough.

    The similarities of different images are counted and continued as distances of codes are, see `calibrate_radius`.

    Args:
        looked: The pairs.
        rank: Rank of each item, ``(n,)``; the smallest is the best.
        edits: For each edit, sampled images and their copies.
        bits: Length of the codes.
        tolerance: Expected false pairs, as a share of the pairs found.
        similarity: A given one instead.

    Returns:
        The calibration, and the pairs that are copies.
    """
    limit = int(LEVELS * (1 - (LEAST if similarity is None else similarity)) + 1e-9)
    best, background = choose_radius(looked, rank, tolerance=tolerance, limit=limit, fit=_fit)
    best = max(best, round(LEVELS * (1 - ENOUGH))) if similarity is None else limit
    pairs = looked(best)
    result = describe_radius(
        best,
        background,
        pairs,
        bits=bits,
        items=looked.rows,
        tolerance=tolerance,
        recall={name: _recall(copies, looked, best) for name, copies in edits.items()},
        sample=max((len(copies.bits) for copies in edits.values()), default=0),
        given=similarity is not None,
    )
    return replace(
        result,
        radius=looked.radius,
        background=background.describe("hundredths"),
        similarity=(LEVELS - best) / LEVELS,
        looked_at=len(looked.pairs),
    ), pairs


def _fit(counts: NDArray[np.int64], excluded: NDArray[np.float64], ceiling: NDArray[np.float64]) -> Background:
    """Fit the background; where pairs are too few for that, continue their number as it usually falls.

    At most N + 3 pairs are expected where N are seen (with probability .95 if none is), and fewer by the factor e for
    each further 0.15 of similarity. The least bound over the similarities that counts start from is taken.
    """
    unlike = np.where(np.arange(LEVELS + 1) < _FIRST, 0, counts)
    if unlike[: _LAST + 1].argmax() >= LEVELS / 2:  # or else copies are the most frequent pairs
        found = fit_background(unlike, excluded, ceiling, last=_LAST)
        if found.start >= 0:
            return found
    seen, alike = np.cumsum(counts), 1 - np.arange(LEVELS + 1) / LEVELS
    starts = [(one, seen[round(LEVELS * (1 - one))] - seen[round(LEVELS * (1 - LEAST)) - 1]) for one in _COUNTED]
    bounds = [(count + 3) * np.exp((one - alike) / _FALL) for one, count in starts]
    return Background(counts, np.minimum(np.min(bounds, axis=0) / max(1, int(seen[-1])), 1.0))


def _recall(copies: EditedCopies, looked: LookedAt, best: int) -> float:
    """Return the share of copies that a code or a hash names, and that are similar enough."""
    assert copies.hash_bits is not None
    assert copies.similarity is not None
    named = (copies.bits <= looked.radius) | (copies.hash_bits <= looked.hash_radius)
    alike = _levels(np.maximum(copies.similarity, hash_similarity(copies.hash_bits))) <= best
    return float((named & alike).mean())
