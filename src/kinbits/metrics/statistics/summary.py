"""Compute statistics of a set of codes, which a number like mAP does not show."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinbits import hamming
from kinbits.errors import DataError
from kinbits.metrics.relevance import Codes, checked_labels
from kinbits.metrics.statistics import pair_stats as pairs
from kinbits.metrics.statistics.bits import Bits
from kinbits.metrics.statistics.pair_stats import share
from kinbits.metrics.statistics.values import CodeStatistics

_QUERIES = 1000  # of the codes themselves, where no queries are given
_BALL = 2


def code_statistics(
    codes: ArrayLike,
    bits: int,
    labels: ArrayLike | None = None,
    logits: ArrayLike | None = None,
    *,
    queries: ArrayLike | None = None,
    seed: int = 0,
    exact_items: int = 20_000,
    drawn_pairs: int = 10_000_000,
) -> CodeStatistics:
    """Describe a set of codes.

    Distances are those of all pairs up to `exact_items` codes, and of `drawn_pairs` random pairs of more codes.
    Collisions of single-label items are exact at any size.

    Args:
        codes: uint8 ``(n, w)``, packed.
        bits: Code length.
        labels: int ``(n,)`` class numbers, -1 for unlabelled, which are in no pair within or between classes; or 0/1
            multi-hot ``(n, C)``.
        logits: float ``(n, bits)``, from which the codes were made.
        queries: Codes uint8 ``(q, w)`` for tie sizes and empty balls; if not given, 1,000 of the codes, each without
            itself.
        seed: Seed of all draws.
        exact_items: Largest number of codes of which all pairs are looked at.
        drawn_pairs: Number of pairs that are drawn of more codes.

    Raises:
        UsageError: If ``bits`` is no code length.
        DataError: If arrays do not fit each other, there are fewer than 2 codes, or logits hold NaN.

    Example:
        >>> import numpy as np
        >>> from kinbits.metrics import code_statistics
        >>> found = code_statistics(np.array([[0b00], [0b01], [0b10], [0b11]], np.uint8) << 6, bits=2)
        >>> found.distinct, found.imbalance, round(found.effective_bits, 3)
        (4, 0.0, 2.0)
    """
    packed = hamming.check_codes(codes, width=hamming.code_width(bits))
    if len(packed) < 2:
        raise DataError(f"there are {len(packed)} codes; statistics need 2 or more")
    known = None if labels is None else _labels(labels, len(packed))
    code_of, distinct = _numbered(packed)
    if bits % 8 and (packed[:, -1] & (0xFF >> bits % 8)).any():
        raise DataError(f"some codes have bits set behind the first {bits}; give the length they were packed with")
    sample = pairs.PairSample(exact_items, drawn_pairs, seed)
    counts = pairs.count_pairs(packed, known, sample)
    found = Bits.from_codes(packed, bits)
    return CodeStatistics(
        bits=bits,
        items=len(packed),
        distinct=distinct,
        dead_bits=int(found.dead.sum()),
        imbalance=found.imbalance,
        entropy=found.entropy,
        correlation=found.correlation,
        dependence=found.dependence,
        effective_bits=_effective_bits(counts, len(packed), bits),
        mean_distance=pairs.mean_and_deviation(counts.all)[0],
        sampled=counts.sampled,
        **_ties(packed, queries, seed),
        **({} if known is None else _classes(packed, code_of, known, counts, sample)),
        **({} if logits is None else _quantization(logits, len(packed), bits)),
        bit_shares=found.share,
        bit_correlations=found.correlations,
        within=counts.within[: bits + 1],
        between=counts.between[: bits + 1],
    )


def _effective_bits(counts: pairs.PairCounts, items: int, bits: int) -> float:
    """Return p (1 - p) / var over pairs drawn with replacement, so that all 2^K codes together have exactly K."""
    drawn = 2 * counts.all
    if not counts.sampled:
        drawn[0] += items
    mean, deviation = pairs.mean_and_deviation(drawn)
    return share(mean * (bits - mean), deviation**2)


def _labels(labels: ArrayLike, items: int) -> NDArray[Any]:
    known, _ = checked_labels(labels, labels)
    if len(known) != items:
        raise DataError(f"there are {items} codes, but labels for {len(known)}")
    return known


def _numbered(codes: Codes) -> tuple[NDArray[np.integer], int]:
    """Return which distinct code each one is, and how many there are."""
    as_one = codes.view(np.dtype((np.void, codes.shape[1])))[:, 0]
    distinct, number = np.unique(as_one, return_inverse=True)
    return number, len(distinct)


def _ties(codes: Codes, queries: ArrayLike | None, seed: int) -> dict[str, float]:
    """Measure the ties in the rankings of queries."""
    if queries is None:
        chosen = np.random.default_rng(seed).permutation(len(codes))[:_QUERIES]
        asked = codes[chosen]
    else:
        asked = hamming.check_codes(queries, width=codes.shape[1], name="query codes")
    if not len(asked):
        raise DataError("there are no query codes; give 1 or more, or None to take some of the codes")
    one = np.zeros((len(asked), 1), np.uint16)
    counts = hamming.tally(asked, codes, np.array([len(codes)]), one)[:, 0]
    if queries is None:
        counts[:, 0] -= 1  # each finds itself
    items = counts.sum(axis=1)
    return {
        "tie_size": float(((counts.astype(np.float64) ** 2).sum(axis=1) / items).mean()),
        "distances_used": float((counts > 0).sum(axis=1).mean()),
        "empty_balls": float((counts[:, : _BALL + 1].sum(axis=1) == 0).mean()),
    }


def _classes(
    codes: Codes,
    code_of: NDArray[np.integer],
    labels: NDArray[Any],
    counts: pairs.PairCounts,
    sample: pairs.PairSample,
) -> dict[str, float]:
    """Measure pairs of one class against other pairs, of labelled items only."""
    labelled = labels >= 0 if labels.ndim == 1 else labels.any(axis=1)
    if not labelled.all():
        codes, code_of, labels = codes[labelled], code_of[labelled], labels[labelled]
        counts = pairs.count_pairs(codes, labels, sample)
    inside, inside_deviation = pairs.mean_and_deviation(counts.within)
    outside, outside_deviation = pairs.mean_and_deviation(counts.between)
    if labels.ndim == 1:
        within, between = pairs.collisions(code_of, labels)
    else:
        within, between = (share(int(c[0]), int(c.sum())) for c in (counts.within, counts.between))
    spread = np.sqrt((inside_deviation**2 + outside_deviation**2) / 2)
    return {
        "distance_within": inside,
        "distance_between": outside,
        "separation": share(outside - inside, float(spread)),
        "collision_within": within,
        "collision_between": between,
    }


def _quantization(logits: ArrayLike, items: int, bits: int) -> dict[str, float]:
    u = np.asarray(logits)
    if u.shape != (items, bits) or u.dtype.kind != "f":
        raise DataError(f"logits are {u.dtype} {u.shape}; give float {(items, bits)}")
    if np.isnan(u).any():
        raise DataError("logits hold NaN; find out where they come from")
    absolute = np.abs(u.astype(np.float64))
    norms = np.sqrt((absolute**2).sum(axis=1) * bits)
    cosine = np.divide(absolute.sum(axis=1), norms, out=np.zeros(items), where=norms > 0)
    return {"quantization_error": float(((absolute - 1) ** 2).mean()), "quantization_cosine": float(cosine.mean())}
