"""What classes mean: distances from a hierarchy or embeddings, and hash centres that are close for similar classes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from kinbits.data import LabelSpace
from kinbits.errors import DataError, UsageError
from kinbits.methods.blocks.targets import hash_centres


def label_distances(space: LabelSpace | None, embeddings: str = "") -> np.ndarray:
    """Return the semantic distance of every two classes, float64 ``(C, C)``, symmetric, with a diagonal of 0.

    Args:
        space: The labels. Their hierarchy gives 1 - height(lcs) / height(root), see `LabelSpace.class_similarity`.
        embeddings: Path of a .npy file, float ``(C, e)``, which gives 1 - cosine of two rows instead. Empty for none.

    Raises:
        DataError: If there is neither a hierarchy nor a file, a class has no place in the one or no row in the other,
            or all distances are 0.
    """
    if space is None:
        raise DataError("the data have no labels, and semantic distances need them")
    if embeddings:
        return _from_embeddings(Path(embeddings), space)
    if space.parents is None:
        raise DataError(
            "these labels have no hierarchy; give coarser classes (the columns coarse_label or coarse_of_label), or "
            "embeddings=FILE.npy with one row per class"
        )
    loose = [space.names[c] for c in range(space.classes) if space.parents[c] == -1]
    if loose:
        raise DataError(
            f"the hierarchy misses {len(loose)} of {space.classes} classes, e.g. {', '.join(map(repr, loose[:3]))}; "
            f"name a coarser class for each, or give embeddings=FILE.npy"
        )
    return 1.0 - space.class_similarity()


def _from_embeddings(path: Path, space: LabelSpace) -> np.ndarray:
    rows = read_embeddings(path, space)
    apart = np.clip(1.0 - rows @ rows.T, 0.0, None)
    np.fill_diagonal(apart, 0.0)
    if apart.max() < 1e-9:
        raise DataError(f"embeddings {path}: all rows point the same way, so no two classes differ")
    return np.asarray(apart)


def read_embeddings(path: Path, space: LabelSpace) -> np.ndarray:
    """Return the rows of a .npy file, one for each class, scaled to length 1, float64 ``(C, e)``.

    Raises:
        DataError: If the file is not such an array, or a row has no direction.
    """
    try:
        rows = np.load(path, allow_pickle=False)
    except OSError as error:
        raise DataError(f"cannot read embeddings {path}: {error.strerror or error}; give a .npy file") from None
    except ValueError as error:
        raise DataError(f"{path} is no .npy file of numbers ({error}); write it with numpy.save") from None
    if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "fiu" or rows.ndim != 2 or len(rows) != space.classes:
        found = f"{rows.dtype} {rows.shape}" if isinstance(rows, np.ndarray) else "an archive"
        raise DataError(f"embeddings {path} are {found}; give numbers ({space.classes}, e), one row per class")
    rows = rows.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        bad = int(np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))[0])
        raise DataError(
            f"embeddings {path}: the row of '{space.names[bad]}' is zero or not finite; give it a direction"
        )
    return np.asarray(rows / norms)


MOST_CLASSES, REPAIRS, SWEEPS, GAIN = 20_000, 200, 200, 1e-9


def semantic_centres(
    similarity: np.ndarray, bits: int, *, distance: int = -1, restarts: int = 4, seed: int = 0
) -> np.ndarray:
    """Find binary centres whose inner products follow the similarity of classes, at a smallest distance.

    Minimises sum_ij (S_ij - h_i . h_j / K)^2 over H in {-1, +1}^(C x K), where every two centres differ in at least d
    bits. One centre after another takes the best flip of one bit, or of two bits if no single flip helps, until no flip
    of any centre helps. The sum never rises. One product in O(C K) evaluates all flips of a centre, so a sweep costs
    O(C^2 K). Memory is that of S.

    Args:
        similarity: S, float ``(C, C)``, from -1 (unlike) to 1 (the same); of S and its transpose the mean is taken.
        bits: Code length K, at least 1.
        distance: Smallest Hamming distance d of two centres. 0 allows equal centres. -1 chooses the smallest d with
            sum_{i<d} binom(K, i) >= 2^K / C, or less if no such centres are found.
        restarts: Number of searches, each from another order of the starting centres; the best result is kept.
        seed: Seed of the search.

    Returns:
        int8 ``(C, K)`` of -1 and +1.

    Raises:
        UsageError: If the similarity is not square, not finite or too large, or no centres at this distance were found.

    Example:
        >>> from kinbits.methods import semantic_centres
        >>> similarity = [[1, 0.5, -0.5], [0.5, 1, -0.5], [-0.5, -0.5, 1]]
        >>> centres = semantic_centres(similarity, 16, distance=4).astype(int)
        >>> (centres @ centres.T).tolist()
        [[16, 8, -8], [8, 16, -8], [-8, -8, 16]]

    Reference: L. Chen et al., "Deep Hashing with Semantic Hash Centers for Image Retrieval", ACM TOIS 2025; there the
    problem is relaxed and solved by an augmented Lagrangian.
    """
    S = _checked(similarity, bits, distance, restarts)
    rng = np.random.default_rng(seed)
    start, least = _start(len(S), bits, distance, rng)
    best, lowest = start, math.inf
    for attempt in range(restarts):
        order = rng.permutation(len(S)) if attempt else np.arange(len(S))
        found = _Search(S, start[order], bits - 2 * least).run(rng)
        if (value := mismatch(S, found)) < lowest:
            best, lowest = found, value
    return best.astype(np.int8)


def mismatch(similarity: np.ndarray, centres: np.ndarray) -> float:
    """Return sum_ij (S_ij - h_i . h_j / K)^2 / C^2 for S ``(C, C)`` and centres ``(C, K)``."""
    target, rows = np.asarray(similarity, np.float64), np.asarray(centres, np.float64)
    return float(np.square(target - rows @ rows.T / rows.shape[1]).mean())


def gilbert_varshamov(classes: int, bits: int) -> int:
    """Return the smallest d with sum_{i<d} binom(bits, i) >= 2^bits / classes."""
    room, distance = 0, 0
    while room * classes < 2**bits:
        room += math.comb(bits, distance)
        distance += 1
    return distance


def _checked(similarity: np.ndarray, bits: int, distance: int, restarts: int) -> np.ndarray:
    S = np.asarray(similarity, np.float64)
    if S.ndim != 2 or S.shape[0] != S.shape[1] or len(S) < 2 or not np.isfinite(S).all():
        raise UsageError(f"similarity of shape {S.shape}: give finite numbers (C, C) for two or more classes")
    if len(S) > MOST_CLASSES:
        raise UsageError(f"{len(S)} classes: at most {MOST_CLASSES} can be compared pair by pair; use method csq")
    if bits < 1 or not -1 <= distance <= bits or restarts < 1:
        raise UsageError(f"bits {bits}, distance {distance}, restarts {restarts}: need >= 1, -1 to bits, and >= 1")
    return np.asarray((S + S.T) / 2)


def _start(classes: int, bits: int, distance: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Return centres and their distance; -1 goes down from the Gilbert-Varshamov value until some are found."""
    drawn = hash_centres(classes, bits, rng)
    bound = gilbert_varshamov(classes, bits)
    for target in [distance] if distance >= 0 else range(bound, 1, -1):
        found = separated(drawn, target, rng)
        if found is not None:
            return found, target
    if distance < 0:
        return drawn, 1  # distinct
    raise UsageError(
        f"found no {classes} centres of {bits} bits at distance {distance}; {bound} is about what exists, lower the "
        f"distance or use more bits"
    )


def separated(centres: np.ndarray, distance: int, rng: np.random.Generator) -> np.ndarray | None:
    """Move centres apart until every two differ in ``distance`` bits.

    The centre that is too close to others by most flips the bit that helps most. With probability 1/10 another centre
    is taken, and with 1/20 another bit, so that the search does not repeat itself.

    Args:
        centres: -1 and +1, ``(C, K)``.
        distance: Smallest allowed Hamming distance.
        rng: Where randomness comes from.

    Returns:
        int8 ``(C, K)``, or None if 200 flips per centre were not enough.
    """
    H = centres.astype(np.float32)
    count, bits = H.shape
    limit = bits - 2 * distance
    excess = _excess(H, limit)
    for _ in range(REPAIRS * count):
        near = np.flatnonzero(excess > 0)
        if not len(near):
            return H.astype(np.int8)
        row = int(rng.choice(near) if rng.random() < 0.1 else excess.argmax())
        products = H @ H[row]
        products[row] = -np.inf
        close = np.flatnonzero(products + 2 > limit)
        after = products[close, None] - 2 * H[row] * H[close]
        bit = int(np.maximum(after - limit, 0).sum(0).argmin())
        if rng.random() < 0.05:
            bit = int(rng.integers(bits))
        H[row, bit] *= -1
        moved = np.maximum(products + 2 * H[row, bit] * H[:, bit] - limit, 0)
        excess += moved - np.maximum(products - limit, 0)
        excess[row] = moved.sum()
    return None


def _excess(H: np.ndarray, limit: int) -> np.ndarray:
    """Sum up by how much each centre's inner products with the others exceed the limit, float32 ``(C,)``."""
    rows = max(1, (1 << 24) // len(H))
    parts = [np.maximum(H[s : s + rows] @ H.T - limit, 0).sum(1) for s in range(0, len(H), rows)]
    return np.asarray(np.concatenate(parts) - (H.shape[1] - limit))


class _Search:
    """Coordinate search from one start; ``limit`` is the largest inner product of two centres."""

    def __init__(self, S: np.ndarray, start: np.ndarray, limit: int) -> None:
        self.S, self.limit = S, limit
        self.H = start.astype(np.float64)
        self.bits = self.H.shape[1]
        self.gram = self.H.T @ self.H

    def run(self, rng: np.random.Generator) -> np.ndarray:
        """Sweep over the centres in random order until nothing changes."""
        for _ in range(SWEEPS):
            if not sum([self._improve(row) for row in rng.permutation(len(self.H))]):
                break
        return self.H

    def _improve(self, row: int) -> int:
        """Flip bits of one centre while that lowers the sum; return how often."""
        flips = 0
        products = self.H @ self.H[row]
        while len(chosen := self._best(row, products)):
            self.gram -= np.outer(self.H[row], self.H[row])
            products -= 2 * self.H[:, chosen] @ self.H[row, chosen]
            self.H[row, chosen] *= -1
            products[row] = self.bits
            self.gram += np.outer(self.H[row], self.H[row])
            flips += 1
        return flips

    def _best(self, row: int, products: np.ndarray) -> np.ndarray:
        """Return the bit, or the two bits, whose flip lowers the sum most; none if no flip does."""
        H, h, K = self.H, self.H[row], self.bits
        rest = self.S[row] - products / K
        rest[row] = 0
        change = 4 / K * h * (rest @ H) + 4 * (len(H) - 1) / K**2
        one = np.where(self._opposed(row, products, 2).any(0), np.inf, change)
        if one.min() < -GAIN:
            return np.array([one.argmin()])
        two = change[:, None] + change + 8 / K**2 * (h[:, None] * h * self.gram - 1)
        np.fill_diagonal(two, np.inf)
        if two.min() >= -GAIN:
            return np.array([], np.int64)
        opposed = self._opposed(row, products, 4).astype(np.float32)
        two[opposed.T @ opposed > 0] = np.inf
        return np.array(np.unravel_index(two.argmin(), two.shape) if two.min() < -GAIN else [], np.int64)

    def _opposed(self, row: int, products: np.ndarray, rise: int) -> np.ndarray:
        """Tell which bits differ from the centres that a rise of the inner product would bring too near."""
        close = products + rise > self.limit
        close[row] = False
        return np.asarray(self.H[close] * self.H[row] < 0)
