"""Binary target codes of classes, far from one another: targets of OrthoHash, hash centres of CSQ."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.linalg import hadamard

from kinbits import hamming
from kinbits.errors import UsageError, unknown_name

FIRST_THRESHOLD, LAST_THRESHOLD, STEP, TRIES = 0.61, 0.2, 0.01, 2_000


def binary_targets(
    classes: int,
    bits: int,
    rng: np.random.Generator,
    *,
    kind: Literal["auto", "bernoulli", "maxhd", "hadamard"] = "auto",
) -> np.ndarray:
    """Draw one target per class.

    Args:
        classes: Number C of targets, at most 2^bits.
        bits: Code length K.
        rng: Generator of the draws.
        kind: ``"bernoulli"`` for fair coins; ``"maxhd"`` for coins that are accepted only at a distance from all
            others, which starts at 0.61 K and falls slowly (Hoe et al. 2021, supplement); ``"hadamard"`` for rows of a
            Hadamard matrix and their negatives, for K a power of two and C <= 2K; ``"auto"`` Hadamard where it exists,
            else ``"maxhd"`` up to 2,000 classes, else ``"bernoulli"``.

    Returns:
        int8 ``(classes, bits)`` of -1 and +1, no two rows equal.

    Raises:
        UsageError: If there are more classes than codes, or the kind does not exist for these sizes.
    """
    check_enough_codes(classes, bits)
    orthogonal = hadamard_fits(classes, bits)
    if kind == "auto":
        kind = "hadamard" if orthogonal else "maxhd" if classes <= 2_000 else "bernoulli"
    if kind == "hadamard":
        if not orthogonal:
            raise UsageError(f"hadamard targets need bits a power of two and at most {2 * bits} classes; use maxhd")
        rows = hadamard(bits).astype(np.int8)
        rows = np.concatenate([rows, -rows])[:classes] if classes > bits else rows[rng.permutation(bits)[:classes]]
        # Flipping columns keeps all distances and gives every bit both values among the classes.
        flips: np.ndarray = rng.choice(np.array([-1, 1], np.int8), bits)
        return np.asarray(rows * flips)
    return _apart(classes, bits, rng) if kind == "maxhd" else distinct(classes, lambda n: coins(n, bits, rng))


def check_enough_codes(classes: int, bits: int) -> None:
    """Refuse more classes than codes.

    Raises:
        UsageError: If there are more classes than codes.
    """
    if classes > 2 ** min(bits, 62):
        raise UsageError(f"{classes} classes need more than {bits} bits: there are only {2**bits} codes")


def hadamard_fits(classes: int, bits: int) -> bool:
    """Return whether a Hadamard matrix of order ``bits`` and its negative have enough rows."""
    return bits & (bits - 1) == 0 and classes <= 2 * bits


def coins(count: int, bits: int, rng: np.random.Generator) -> np.ndarray:
    """Draw fair coins, int8 ``(count, bits)`` of -1 and +1."""
    return rng.choice(np.array([-1, 1], np.int8), (count, bits))


def distinct(count: int, draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """Draw ``count`` rows, and draw repeated rows again until all differ."""
    rows = draw(count)
    while True:
        _, first = np.unique(np.packbits(rows > 0, axis=1), axis=0, return_index=True)
        again = np.setdiff1d(np.arange(count), first)
        if not len(again):
            return rows
        rows[again] = draw(len(again))


def _apart(classes: int, bits: int, rng: np.random.Generator) -> np.ndarray:
    """Accept a coin row only at a distance from all accepted ones; lower the distance after many refusals."""
    rows = np.empty((0, bits), np.float32)
    threshold = FIRST_THRESHOLD
    while len(rows) < classes and threshold >= LAST_THRESHOLD:
        tries = rng.choice(np.array([-1, 1], np.float32), (TRIES, bits))
        tries = tries[_nearest(tries, rows) >= threshold * bits]
        if not len(tries):
            threshold -= STEP
        while len(tries) and len(rows) < classes:
            rows = np.concatenate([rows, tries[:1]])
            tries = tries[_nearest(tries, rows[-1:]) >= threshold * bits]
    if len(rows) < classes:
        return distinct(classes, lambda n: coins(n, bits, rng))
    return rng.permutation(rows).astype(np.int8)


def _nearest(tries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return each try's smallest Hamming distance to the rows, ``(len(tries),)``; infinite without rows."""
    if not len(rows):
        return np.full(len(tries), np.inf)
    return np.asarray((rows.shape[1] - (tries @ rows.T).max(1)) / 2)


REDRAWS, PAIRS = 200, 20_000_000  # sets that are compared; pairs of centres that may be measured for it
_KINDS = ("hadamard", "balanced", "bernoulli")
Kind = Literal["auto", "hadamard", "balanced", "bernoulli"]


def hash_centres(classes: int, bits: int, rng: np.random.Generator, *, kind: Kind = "auto") -> np.ndarray:
    """Draw one centre per class.

    Args:
        classes: Number C of centres, at most 2^bits.
        bits: Code length K, even or odd.
        rng: Generator of the draws.
        kind: ``"hadamard"``: rows of a Hadamard matrix in random order, then their negatives, for K a power of two and
            C <= 2K. All distances are K/2 or K. Half of the rows are negated, so that the constant first column has
            both values; their distances stay the same. ``"balanced"``: K/2 random places of each centre are -1; for odd
            K, one more in half of the centres. Up to 200 such sets are compared by their smallest distance, then by the
            mean. Many classes compare fewer sets, so that 10^5 classes take seconds. ``"bernoulli"``: fair coins.
            ``"auto"``: Hadamard if it exists; else balanced, if at most half of the balanced codes are needed; else
            coins.

    Returns:
        int8 ``(classes, bits)`` of -1 and +1, no two rows equal.

    Raises:
        UsageError: If there are more classes than codes, or the kind does not exist for these sizes.
    """
    check_enough_codes(classes, bits)
    fits, balanced = hadamard_fits(classes, bits), math.comb(bits, bits // 2) << (bits % 2)
    if kind == "auto":
        kind = "hadamard" if fits else "balanced" if 2 * classes <= balanced else "bernoulli"
    if kind not in _KINDS:
        raise unknown_name("kind of centres", kind, ["auto", *_KINDS])
    if kind == "hadamard":
        if not fits:
            raise UsageError(
                f"{classes} centres of {bits} bits: hadamard needs bits a power of two and at most twice as many "
                f"classes; use balanced"
            )
        return _hadamard(classes, bits, rng)
    if kind == "bernoulli":
        return distinct(classes, lambda n: coins(n, bits, rng))
    if classes > balanced:
        raise UsageError(f"{classes} centres: only {balanced} codes of {bits} bits are balanced; use bernoulli")
    tries = min(REDRAWS, max(1, PAIRS // classes**2))
    sets = (distinct(classes, lambda n: _balanced(n, bits, rng)) for _ in range(tries))
    return max(sets, key=min_and_mean_distance) if tries > 1 else next(sets)


def min_and_mean_distance(centres: np.ndarray) -> tuple[int, float]:
    """Return the smallest and the mean Hamming distance of two centres, without an array of all pairs.

    Args:
        centres: -1 and +1, int8 ``(C, K)``.
    """
    count, bits = centres.shape
    if count < 2:
        return bits, float(bits)
    codes = hamming.pack(centres > 0)
    smallest = int(hamming.topk(codes, codes, 2)[0][:, 1].min())
    # the inner products of all pairs add up to the square of the sum
    products = float((centres.sum(0, dtype=np.int64) ** 2).sum() - count * bits)
    return smallest, (bits - products / (count * (count - 1))) / 2


def _hadamard(classes: int, bits: int, rng: np.random.Generator) -> np.ndarray:
    rows = hadamard(bits).astype(np.int8)[rng.permutation(bits)]
    rows[::2] *= -1
    return np.asarray(np.concatenate([rows, -rows])[:classes])


def _balanced(count: int, bits: int, rng: np.random.Generator) -> np.ndarray:
    """Put -1 at half of the places of each row; where K is odd, at one more in half of the rows."""
    negative = bits // 2 + (np.arange(count) % 2) * (bits % 2)
    rows = np.where(np.arange(bits) < negative[:, None], -1, 1).astype(np.int8)
    return np.asarray(rng.permuted(rows, axis=1))
