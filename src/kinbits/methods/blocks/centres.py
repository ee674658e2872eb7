"""Hash centres of classes: Hadamard rows, balanced codes, coins; and codes kept a smallest distance apart."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from scipy.linalg import hadamard

from kinbits import hamming
from kinbits.errors import UsageError, unknown_name
from kinbits.methods.blocks.targets import check_room, coins, distinct, hadamard_fits

REDRAWS, PAIRS = 200, 20_000_000  # sets that are compared; pairs of centres that may be measured for it
_KINDS = ("hadamard", "balanced", "bernoulli")
Kind = Literal["auto", "hadamard", "balanced", "bernoulli"]


def hash_centres(classes: int, bits: int, rng: np.random.Generator, *, kind: Kind = "auto") -> np.ndarray:
    """Draw one centre per class.

    Args:
        classes: Number C of centres, at most 2^bits.
        bits: Length K of each, odd ones too.
        rng: Where randomness comes from.
        kind: ``"hadamard"``: rows of a Hadamard matrix in random order, and their negatives once these are used up; all
            distances are K/2 or K; for K a power of two and C <= 2K. Half of the rows change their sign, which
            changes no distance between them but gives the matrix's constant first column both values.
            ``"balanced"``: K/2 random places of each centre are -1, for odd K one more in half of the centres; of up
            to 200 such sets the one with the largest smallest distance, then the largest mean, is taken; fewer sets
            are compared where classes are many, so that 10^5 of them take seconds. ``"bernoulli"``: fair coins.
            ``"auto"``: Hadamard where it exists, else balanced unless more than half of the balanced codes would be
            needed, else coins.

    Returns:
        int8 ``(classes, bits)`` of -1 and +1, no two rows equal.

    Raises:
        UsageError: There are more classes than codes, or the kind does not exist for these sizes.
    """
    check_room(classes, bits)
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
    return max(sets, key=spread) if tries > 1 else next(sets)


def spread(centres: np.ndarray) -> tuple[int, float]:
    """Return the smallest and the mean Hamming distance of two centres; no array of all pairs.

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
