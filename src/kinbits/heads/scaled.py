"""The head of scaled codes: a rotation, whole numbers of few bits, and factors that scale them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from kinbits import hamming
from kinbits.errors import DataError, UsageError
from kinbits.hamming import Codes, Tables
from kinbits.heads.base import Metric, MetricHead, register_head

EPSILON = 1.9  # of the bound: larger errors are rare
_WEIGHTS = {"euclidean": 2.0, "cosine": 1.0, "inner": 1.0}  # of an inner product in a distance
_SCALES, _LEAST, _MOST = 48, 0.2, 1.0  # tried in each of two rounds, relative to steps of the mean square
_CHUNK = 1 << 22  # numbers at once


@register_head("scaled")
class ScaledHead(MetricHead):
    """Rotates a vector and keeps B bits of each of D dimensions, and three numbers that make of them an estimate.

    With c the centre, R the rows of the linear map and z = R(x - c), the code of x holds u, the point of the grid
    ``{-(2^B - 1) / 2, ..., (2^B - 1) / 2}^D`` with the smallest angle to z: sign(z) / 2 for one bit. The estimate of
    z' . z, for a query's z', is ``(u . z') |z|^2 / (u . z)``, and so that of the distance::

        |x' - x|^2  =  |x' - c|^2 + |x - c|^2 - 2 z' . z
        -x' . x     =  (|c|^2 / 2 - x' . c) + (|c|^2 / 2 - x . c) - z' . z       and 1 more for 1 - cosine

    where R keeps angles. The error is at most ``slack * error`` with a probability near 1, with
    ``error = w |z| sqrt(1 - a^2) / a * 1.9 / sqrt(D - 1)``, a the cosine of u and z, w the weight of z' . z, and
    ``slack = |z'|``. If R leaves out dimensions, both hold what is left too, by Cauchy and Schwarz (J. Gao, C. Long,
    "RaBitQ", SIGMOD 2024, theorem 3.2; J. Gao et al., SIGMOD 2025, for B > 1).

    Differences: of all grid points on the ray through z, u is the best of 96 scales instead of all.

    Args:
        features: Length of one feature vector.
        bits: Code length: D B, and 96 for the factors.
        bits_per_dim: B, 1 to 8.
        metric: ``"cosine"``, ``"euclidean"``, or ``"inner"``: what is estimated.

    Attributes:
        dims: D.
        layers: The linear map; the first D features until a method sets it.

    Raises:
        UsageError: If the bits do not hold the factors and whole dimensions, or the metric is unknown.
    """

    codes_name: ClassVar[str] = "scaled codes"

    def __init__(self, features: int, bits: int, bits_per_dim: int = 1, metric: str = "cosine") -> None:
        self.dims = _dims(features, bits, bits_per_dim)
        super().__init__(features, bits, metric=metric, bits_per_dim=bits_per_dim)
        self.words, self.outputs, self.bits_per_dim = hamming.SCALED, self.dims + 2, bits_per_dim
        self.layers = nn.Linear(features, self.dims, bias=False)
        nn.init.eye_(self.layers.weight)

    @torch.no_grad()
    def standardise(self, chunks: Iterable[Tensor]) -> None:
        """Centre the inputs on their mean; keep their scale, so that distances keep their unit."""
        super().standardise(chunks)
        self.scale.fill_(1)

    def forward(self, features: Tensor) -> Tensor:
        """Return z, |x - c|^2 and the own part of the distance, float ``(n, D + 2)``, of features ``(n, d)``."""
        inputs = self.standard(features)
        square = inputs.square().sum(1, keepdim=True)
        if self.metric == "euclidean":
            own = square
        else:
            own = -(inputs @ self.centre)[:, None] - self.centre.square().sum() / 2 + (self.metric == "cosine") / 2
        return torch.cat([self.layers(inputs), square, own], dim=1)

    @property
    def _weight(self) -> float:
        return _WEIGHTS[self.metric]

    @property
    def features_metric(self) -> Metric:
        """What is estimated."""
        return cast(Metric, self.metric)

    def codes_of(self, outputs: Tensor) -> Codes:
        """Return the packed scaled codes, uint8 ``(n, w)``, of outputs ``(n, D + 2)``."""
        z, square, own = self._parts(outputs)
        numbers = nearest_numbers(z, self.bits_per_dim)
        u = numbers.double() - (2**self.bits_per_dim - 1) / 2
        length, along = z.square().sum(1), (u * z).sum(1)
        ray = torch.where(along > 0, length / along.clamp_min(torch.finfo(torch.float64).tiny), 0)  # z is near ray * u
        off = (ray.square() * u.square().sum(1) - length).clamp_min(0)  # |z|^2 (1 - a^2) / a^2
        off *= EPSILON**2 / max(self.dims - 1, 1)
        left = (square - length).clamp_min(0) if self.dims < self.features else 0
        error = self._weight * (off + left).sqrt()
        factors = torch.stack([self._weight * ray, own, error], dim=1).float().cpu().numpy()
        return hamming.join_factors(self._packed(numbers.cpu().numpy()), factors)

    def _parts(self, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return z, |x - c|^2 and the own part of the distance.

        Raises:
            DataError: If float32 does not hold them.
        """
        exact = outputs.double()
        z, square, own = exact[:, :-2], exact[:, -2], exact[:, -1]
        lost = ~exact.isfinite().all(1) | (square < torch.finfo(torch.float32).tiny) & z.any(1)
        if lost.any():
            row = int(lost.nonzero()[0, 0])
            raise DataError(f"float32 does not hold the squares of vector {row}; scale all vectors to about 1")
        return z, square, own

    def _packed(self, numbers: np.ndarray) -> Codes:
        digits = np.unpackbits(numbers[:, :, None], axis=2)[:, :, -self.bits_per_dim :]
        return np.packbits(digits.reshape(len(numbers), self.dims * self.bits_per_dim), axis=1)

    @property
    def _worth(self) -> np.ndarray:
        """What each bit of a number is worth, the most significant first: as much above 0 as below it."""
        return 2.0 ** np.arange(self.bits_per_dim - 1, -1, -1) / 2

    def tables_of(self, outputs: Tensor) -> Tables:
        """Return the look-up tables of outputs ``(n, D + 2)`` as queries, float32 ``(n, parts, 16)``; no slack."""
        z, _, own = self._parts(outputs)
        parts, entries = hamming.table_shape(self.bits, self.words)
        worths = np.zeros((len(z), 4 * (parts - 1)))
        used = self.dims * self.bits_per_dim
        worths[:, :used] = (z.cpu().numpy()[:, :, None] * self._worth).reshape(len(z), used)
        tables = np.zeros((len(z), parts, entries), np.float32)
        tables[:, :-1] = -worths.reshape(len(z), parts - 1, 4) @ _SIGNS.T
        tables[:, -1, 0] = own.cpu().numpy()
        return tables

    def bound_tables(self, outputs: Tensor) -> Tables:
        """Return look-up tables for lower bounds of the distances: those of `tables_of` with the slack."""
        tables = self.tables_of(outputs)
        tables[:, -1, 1] = self._parts(outputs)[1].sqrt().cpu().numpy()
        return tables

    def code_tables(self, codes: Codes) -> Tables:
        """Return the look-up tables for what codes stand for: the symmetric distance.

        The query is the projection of z on u. So a code is at the distance of z from itself, but for rounding.
        """
        z = self.decode(codes).double()
        _, own, error = torch.from_numpy(hamming.factors_of(codes)).double().to(z.device).T
        off = (error / self._weight / EPSILON).square() * max(self.dims - 1, 1)
        length = z.square().sum(1)  # |z|^2 / a^2; `off` is its share 1 - a^2 where no dimension is left out
        part = (1 - off / length.clamp_min(torch.finfo(torch.float64).tiny)).clamp_min(0)
        if self.dims < self.features:
            part = torch.ones_like(part)
        z = z * part[:, None]
        return self.tables_of(torch.cat([z, z.square().sum(1, keepdim=True), own[:, None]], dim=1))

    @torch.no_grad()
    def decode(self, codes: Codes) -> Tensor:
        """Return the reconstructions of z from packed codes, float32 ``(n, D)``."""
        digits = np.unpackbits(codes[:, : -hamming.FACTOR_BYTES], axis=1, count=self.dims * self.bits_per_dim)
        ones = digits.reshape(len(codes), self.dims, self.bits_per_dim) * 2.0 - 1
        u = ones @ self._worth
        ray = hamming.factors_of(codes)[:, :1] / self._weight
        return torch.from_numpy((u * ray).astype(np.float32)).to(self.centre.device)


_SIGNS = np.unpackbits(np.arange(16, dtype=np.uint8)[:, None], axis=1)[:, 4:] * 2.0 - 1  # (16, 4)


def nearest_numbers(z: Tensor, bits: int) -> Tensor:
    """Return the point of the grid with the smallest angle to each vector, as numbers below 2^B, uint8 ``(n, D)``.

    Args:
        z: Float64 ``(n, D)``.
        bits: B. A number v stands for v - (2^B - 1) / 2.
    """
    positive = z >= 0
    if bits == 1:
        return positive.to(torch.uint8)
    rows = max(1, _CHUNK // (_SCALES * z.shape[1]))
    levels = torch.cat([_levels(chunk, bits) for chunk in torch.split(z.abs(), rows)]) if len(z) else z
    half = 2 ** (bits - 1)
    return torch.where(positive, half + levels, half - 1 - levels).to(torch.uint8)


def _levels(sizes: Tensor, bits: int) -> Tensor:
    """Return the levels below 2^(B - 1) of absolute values, float64 ``(n, D)``: cut at the best of some scales."""
    half = 2 ** (bits - 1)
    relative = sizes / sizes.square().mean(1, keepdim=True).sqrt().clamp_min(torch.finfo(torch.float64).tiny)
    ratio = (_MOST / _LEAST) ** (1 / (_SCALES - 1))
    steps = torch.arange(_SCALES, dtype=torch.float64, device=sizes.device)
    scales = (half * _LEAST * ratio**steps).expand(len(sizes), _SCALES)
    best = _best_scale(relative, scales, half)
    best = _best_scale(relative, best * ratio ** (2 * steps / (_SCALES - 1) - 1), half)
    return (relative * best).floor().clamp_max(half - 1)


def _best_scale(sizes: Tensor, scales: Tensor, half: int) -> Tensor:
    """Return that of the scales ``(n, s)`` with the smallest angle between levels and sizes, ``(n, 1)``."""
    points = (sizes[:, None] * scales[:, :, None]).floor().clamp_max(half - 1) + 0.5
    cosines = (points * sizes[:, None]).sum(2) / points.square().sum(2).sqrt()
    return scales.gather(1, cosines.argmax(1, keepdim=True))


def whole_bits(features: int, bits_per_dim: int) -> int:
    """Return the least length of a code that keeps all dimensions.

    Raises:
        UsageError: If there are not 1 to 8 bits for each.
    """
    if isinstance(bits_per_dim, (bool, float)) or bits_per_dim not in range(1, 9):
        raise UsageError(f"bits_per_dim={bits_per_dim!r}: give 1 to 8")
    each = math.lcm(8, bits_per_dim)
    return 8 * hamming.FACTOR_BYTES + math.ceil(features * bits_per_dim / each) * each


def _dims(features: int, bits: int, bits_per_dim: int) -> int:
    factors, whole = 8 * hamming.FACTOR_BYTES, whole_bits(features, bits_per_dim)
    dims, left = divmod(bits - factors, bits_per_dim)
    if dims < 1 or left or bits % 8:
        raise UsageError(
            f"{bits} bits do not fit: scaled codes take {factors} for factors and {bits_per_dim} for each dimension, "
            f"in whole bytes; give {whole} bits for all {features} dimensions"
        )
    return dims
