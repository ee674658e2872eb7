"""Binary target codes for classes, far from one another, generated without a loop over pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.linalg import hadamard

from kinbits.errors import UsageError

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
        bits: Length K of each.
        rng: Where randomness comes from.
        kind: ``"bernoulli"`` fair coins; ``"maxhd"`` coins accepted only at a distance from all others that
            starts at 0.61 K and falls slowly (Hoe et al. 2021, supplement); ``"hadamard"`` rows of a Hadamard
            matrix and their negatives, for K a power of two and C <= 2K; ``"auto"`` Hadamard where it exists,
            else ``"maxhd"`` up to 2,000 classes, else ``"bernoulli"``.

    Returns:
        int8 ``(classes, bits)`` of -1 and +1, no two rows equal.

    Raises:
        UsageError: There are more classes than codes, or the kind does not exist for these sizes.
    """
    check_room(classes, bits)
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


def check_room(classes: int, bits: int) -> None:
    """Refuse more classes than there are codes."""
    if classes > 2 ** min(bits, 62):
        raise UsageError(f"{classes} classes need more than {bits} bits: there are only {2**bits} codes")


def hadamard_fits(classes: int, bits: int) -> bool:
    """Tell whether a Hadamard matrix of order ``bits`` and its negative have enough rows."""
    return bits & (bits - 1) == 0 and classes <= 2 * bits


def coins(count: int, bits: int, rng: np.random.Generator) -> np.ndarray:
    """Draw fair coins, int8 ``(count, bits)`` of -1 and +1."""
    return rng.choice(np.array([-1, 1], np.int8), (count, bits))


def distinct(count: int, draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """Draw ``count`` rows, and again for rows that repeat."""
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
