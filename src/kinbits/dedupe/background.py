"""How far the codes of different images are from each other: counted where there are many, fitted in the thin tail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinbits import hamming
from kinbits.hamming import Codes

PAIRS = 200_000_000  # whose distance is counted
ENOUGH = 100  # pairs below a distance, from which their number is counted and not fitted; fewer of few pairs
TAIL = 0.04  # share of all pairs that the fit may read, or more of few pairs
_FEW, _FEW_TAIL = 1500, 0.5
_OUTWEIGH = 10  # counts where the fit begins, in units of those in the valley between copies and different images
_SMOOTH = 5  # distances
_SLACK = 0.03  # relative error of a fitted count that is no misfit
_MISFIT = 1.5  # deviance for each distance, above which a fit does not hold
_CELLS = 1 << 26  # distances at once
_STEPS = 50
_FEWEST = 6  # distances


@dataclass(frozen=True)
class Background:
    """Distances between different images of a collection.

    Attributes:
        counts: Number of sampled pairs at each distance, int64 ``(bits + 1,)``.
        below: Expected share of all pairs of different images within each radius, float64 ``(bits + 1,)``.
        start: First distance that the fit read; -1 where there was too little to fit.
        stop: Last distance that the fit read.
        curve: Coefficients of the fit: log of the expected count at distance d, as a polynomial in (d - stop) / 10.
    """

    counts: NDArray[np.int64]
    below: NDArray[np.float64]
    start: int = -1
    stop: int = -1
    curve: tuple[float, ...] = ()

    @property
    def pairs(self) -> int:
        """Number of sampled pairs."""
        return int(self.counts.sum())

    def expected(self, pairs: float) -> NDArray[np.float64]:
        """Return the number of pairs within each radius that are expected among so many, float64 ``(bits + 1,)``."""
        return self.below * pairs

    def describe(self, unit: str = "bits") -> str:
        """Return how the shares were found, in words."""
        if self.start < 0:
            return f"counted over {self.pairs:,} pairs, too few to fit a tail"
        shape = ("constant", "exponential", "Gaussian")[len(self.curve) - 1]
        return (
            f"counted over {self.pairs:,} pairs; below {self.start} {unit} a {shape} tail, "
            f"fitted to distances from {self.start} to {self.stop}"
        )


def count_distances(codes: Codes, seed: int, pairs: int = PAIRS) -> NDArray[np.int64]:
    """Count the distances between different rows: all of them, or those of sampled rows to all.

    Args:
        codes: uint8 ``(n, w)``.
        seed: Seed of the sample.
        pairs: Maximum number of pairs, about.

    Returns:
        int64 ``(8 w + 1,)``; each pair counts once.
    """
    n = len(codes)
    counts = np.zeros(8 * codes.shape[1] + 1, np.int64)
    every = n * n <= 2 * pairs
    rows = np.arange(n) if every else np.sort(np.random.default_rng(seed).choice(n, max(1, pairs // n), replace=False))
    step = max(1, min(_CELLS // max(n, 1), 1024))
    for start in range(0, len(rows), step):
        part = codes[rows[start : start + step]]
        counts += hamming.histograms(part, codes, np.zeros((len(part), n), np.bool_))[0].sum(0)
    counts[0] -= len(rows)  # each row meets itself
    return counts // 2 if every else counts


def ceiling_of(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return an upper bound of the share of pairs of different images within each radius, float64 ``(bits + 1,)``.

    There cannot be more than pairs of any images: so many are seen, and three deviations of a Poisson count.

    Args:
        counts: Number of sampled pairs at each distance, copies among them, int64 ``(bits + 1,)``.
    """
    seen = np.cumsum(counts)
    return np.asarray((seen + 3 * np.sqrt(seen) + 3) / max(1, int(seen[-1])))


def fit_background(
    counts: NDArray[np.int64],
    excluded: NDArray[np.float64],
    ceiling: NDArray[np.float64] | None = None,
    *,
    last: int | None = None,
) -> Background:
    """Return the expected share of pairs within each radius.

    Copies that nobody found yet are among the nearest pairs. Their counts fall with the distance, those of different
    images rise, and between them is a valley. Counts serve from where they are many, and ten times those in the valley.
    Below, their logarithm is continued by a polynomial: a parabola (the tail of a Gaussian) if it bends down, or else a
    straight line. It is fitted as a Poisson regression to the widest range of distances that it describes.

    Args:
        counts: Number of sampled pairs at each distance, int64 ``(bits + 1,)``.
        excluded: Those of bursts, which do not count, float64 ``(bits + 1,)``.
        ceiling: Upper bound of the shares, see `ceiling_of`; None takes that of the counts.
        last: Largest distance that is a measurement; the fit reads none beyond. Default: all are.
    """
    kept = np.maximum(counts - excluded, 0.0)
    total, sums = float(kept.sum()), np.cumsum(kept)
    if total == 0:
        return Background(counts, np.zeros(len(counts)))
    peak = int(kept[: None if last is None else last + 1].argmax())
    if kept[peak] == 0:
        return Background(counts, np.minimum((sums + 3.0) / total, 1.0))
    start = _start(kept, peak)
    most = np.minimum(ceiling_of(counts) if ceiling is None else ceiling, 1.0)
    fitted = _widest_fit(kept, start, _stops(sums, start, peak), most * total)
    if fitted is None:
        return Background(counts, np.minimum((sums + 3.0) / total, 1.0))  # 3: at most so many, with probability 0.95
    stop, curve = fitted
    tail = _tail(curve, start, stop)
    below = np.concatenate([tail, sums[start:] - sums[start] + kept[start] + (tail[-1] if start else 0.0)])
    return Background(counts, np.minimum(below / total, most), start, stop, tuple(curve.tolist()))


def _tail(curve: NDArray[np.float64], start: int, stop: int) -> NDArray[np.float64]:
    """Return the number of pairs within each radius below ``start``, by the fit."""
    return np.cumsum(np.exp(np.minimum(np.polyval(curve, (np.arange(start) - stop) / 10.0), 700.0)))


def _start(kept: NDArray[np.float64], peak: int) -> int:
    """Return the first distance whose count is that of different images, which are most frequent at the peak."""
    smooth = np.convolve(kept, np.full(_SMOOTH, 1 / _SMOOTH), "same")[: peak + 1]
    valley = peak - int(smooth[::-1].argmin())  # the last of equal ones
    beyond = np.cumsum(kept[valley : peak + 1])
    high = (smooth[valley:] >= _OUTWEIGH * smooth[valley]) & (beyond >= min(ENOUGH, max(30, kept.sum() / 40)))
    return valley + int(high.argmax()) if high.any() else peak


def _stops(sums: NDArray[np.float64], start: int, peak: int) -> list[int]:
    """Return ends of ranges that begin at ``start``, each with twice the pairs of the one before."""
    ends, wanted = [], max(4 * sums[min(start, len(sums) - 1)], 1.0)
    most = max(TAIL * sums[-1], min(_FEW_TAIL * sums[-1], _FEW))
    while wanted <= most:
        ends.append(int(np.searchsorted(sums, wanted)))
        wanted *= 2
    least = max(start + max(_FEWEST, len(sums) // 20), int(np.searchsorted(sums, min(_FEW_TAIL * sums[-1], _FEW))))
    return sorted({min(max(end, least), peak) for end in ends or [least] if min(max(end, least), peak) - start >= 3})


def _widest_fit(
    kept: NDArray[np.float64], start: int, stops: list[int], most: NDArray[np.float64]
) -> tuple[int, NDArray[np.float64]] | None:
    """Return the end of the widest range that the polynomial describes, and its coefficients; None without a range.

    A fit whose tail has more pairs than there are holds for no range; if all have, the one with the least excess is
    taken.
    """
    fits = []
    for stop in stops:
        seen = kept[start : stop + 1]
        curve = _poisson_curve(np.arange(start, stop + 1), seen, stop)
        means = np.exp(np.polyval(curve, (np.arange(start, stop + 1) - stop) / 10.0))
        misfit = float(((seen - means) ** 2 / (means + (_SLACK * means) ** 2)).sum()) / max(1, len(seen) - len(curve))
        excess = float((_tail(curve, start, stop) / most[:start]).max(initial=0.0))
        fits.append((max(excess, 1.0), misfit > _MISFIT, -stop if misfit <= _MISFIT else stop, curve))
    if not fits:
        return None
    *_, stop, curve = min(fits, key=lambda fit: fit[:3])
    return abs(stop), curve


def _poisson_curve(distances: NDArray[np.int64], counts: NDArray[np.float64], zero: int) -> NDArray[np.float64]:
    """Fit the logarithm of counts by a concave parabola, or else a rising line; highest power first."""
    at = (distances - zero) / 10.0
    curve = _regress(at, counts, 2)
    rising = 2 * curve[0] * at[0] + curve[1] > 0
    return curve if curve[0] < 0 and rising else _regress(at, counts, 1)


def _regress(at: NDArray[np.float64], counts: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Poisson regression by iteratively reweighted least squares (Nelder and Wedderburn 1972)."""
    powers = np.vander(at, degree + 1)
    logs = np.log(counts + 0.5)
    curve = np.asarray(np.polyfit(at, logs, degree, w=np.sqrt(counts + 0.5)))
    for _ in range(_STEPS):
        means = np.exp(np.clip(powers @ curve, -50.0, 50.0))
        weighted = powers * means[:, None]
        system = powers.T @ weighted + 1e-9 * np.eye(degree + 1)
        move = np.linalg.solve(system, powers.T @ (counts - means))
        curve = curve + np.clip(move, -5.0, 5.0)
        if np.abs(move).max() < 1e-9:
            break
    return curve
