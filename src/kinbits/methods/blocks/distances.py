"""Cosine distances of the features before training, and the confidence of a threshold on them; no n x n array."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinbits.errors import DataError
from kinbits.methods.base import Batch, TrainView
from kinbits.methods.blocks.graphs import FULL, row_blocks, symmetric_pairs

SAMPLE, CHUNK = 5000, 8192
BINS, NARROW = 200, 1e-3


class FeatureDistances(nn.Module):
    """Cosine distances 1 - cos between training rows.

    With a frozen backbone only the mean of the features is stored. If the backbone is trained too, the unit features of
    all rows are stored in half precision, 2 n d bytes.

    Args:
        features: Length d of a feature vector.
        centre: Subtract the mean of the features.
    """

    mean: Tensor

    def __init__(self, features: int, *, centre: bool) -> None:
        super().__init__()
        self.centre = centre
        self.register_buffer("mean", torch.zeros(features))
        self.kept: Tensor | None = None

    def prepare(self, train: TrainView) -> None:
        """Read the features once, or twice with ``centre``.

        Raises:
            DataError: If a feature vector is not finite, or has no direction.
        """
        if self.centre:
            total = sum(chunk.double().sum(0) for chunk in train.chunks())
            self.mean.copy_(torch.as_tensor(total) / len(train))
        kept, start = [], 0
        for chunk in train.chunks():
            length = (chunk - self.mean).norm(dim=1)
            usable = torch.isfinite(length) & (length > 1e-6 * chunk.norm(dim=1))
            if not usable.all():
                row = start + int((~usable).nonzero()[0])
                raise DataError(
                    f"the features of training image {row} are not finite or point nowhere (all 0, or exactly the "
                    f"mean of all images); remove such images"
                )
            start += len(chunk)
            if not train.frozen:
                kept.append(self._unit(chunk).half().cpu())
        self.kept = torch.cat(kept) if kept else None

    def units(self, train: TrainView, rows: np.ndarray | None = None) -> Iterator[Tensor]:
        """Yield unit vectors of all rows, or of some, in order, float ``(c, d)``."""
        if self.kept is None:
            yield from (self._unit(chunk) for chunk in train.chunks(rows=rows))
        else:
            kept = self.kept if rows is None else self.kept[torch.from_numpy(rows)]
            yield from (F.normalize(part.to(self.mean.device).float(), dim=1) for part in torch.split(kept, CHUNK))

    def among(self, batch: Batch) -> Tensor:
        """Return the distances of a batch's rows, float ``(b, b)`` in [0, 2]."""
        if self.kept is None:
            unit = self._unit(batch.features.detach())
        else:
            unit = F.normalize(self.kept[batch.rows.cpu()].to(self.mean.device).float(), dim=1)
        return (1 - unit @ unit.T).clamp(0, 2)

    def sample(self, train: TrainView, rng: np.random.Generator, most: int = SAMPLE) -> Tensor:
        """Return the distances of all pairs, float ``(pairs,)``; beyond ``most`` rows, those of a sample."""
        n = len(train)
        rows = np.sort(rng.choice(n, most, replace=False)) if n > most else None
        unit = torch.cat(list(self.units(train, rows)))
        first, second = torch.triu_indices(len(unit), len(unit), offset=1, device=unit.device)
        return (1 - unit @ unit.T).clamp(0, 2)[first, second]

    def nearer(self, train: TrainView, threshold: float) -> Any:
        """Return the pairs below a distance and the diagonal, sparse bool ``(n, n)`` in CSR form, block by block.

        O(n^2 d) time; memory for the vectors, and 8 bytes per pair.

        Raises:
            DataError: If no pair, or more than 30 % of the pairs, are below the distance.
        """
        unit = torch.cat(list(self.units(train)))
        n = len(unit)
        parts = [sp.csr_array((1 - unit[rows] @ unit.T < threshold).cpu().numpy()) for rows in row_blocks(n)]
        count = sum(part.nnz for part in parts)
        if not n < count <= FULL * n**2:
            raise DataError(f"{count - n} pairs of {n} images are nearer than {threshold:.3f}; use init='knn'")
        return symmetric_pairs(sp.vstack(parts))

    def _unit(self, features: Tensor) -> Tensor:
        return F.normalize(features.float() - self.mean, dim=1)

    def get_extra_state(self) -> Tensor:
        """Return the stored features."""
        return torch.empty(0) if self.kept is None else self.kept

    def set_extra_state(self, state: Tensor) -> None:
        """Set the stored features."""
        self.kept = state.cpu() if len(state) else None


@dataclass(frozen=True)
class SplitNormal:
    """A split normal distribution: two normal halves with different deviations, which meet at the mode.

    Attributes:
        mode: Left edge of the fullest bin of width 0.01.
        left: Deviation of the distances up to the mode, mirrored.
        right: Deviation of the distances above the mode, mirrored.
    """

    mode: float
    left: float
    right: float

    @classmethod
    def fit(cls, distances: Tensor) -> SplitNormal:
        """Fit both halves. If one side has less than 1 % of the distances, the median replaces the mode."""
        counts = torch.histc(distances.float(), BINS, 0, 2)
        mode = int(counts.argmax()) * 2 / BINS
        if not 0.01 <= float((distances <= mode).float().mean()) <= 0.99:
            mode = float(distances.median())
        square = (distances.double() - mode).square()
        low = distances <= mode
        return cls(mode, *(max(_mean(square[side]) ** 0.5, NARROW) for side in (low, ~low)))

    def confidence(self, distances: Tensor, threshold: float, *, exact: bool = True) -> Tensor:
        """Return the confidence in the side of the threshold that a distance is on, float in [0, 1].

        Args:
            distances: Of any shape.
            threshold: Distance of confidence 0.
            exact: Reach 1 at distances 0 and 2; otherwise at infinite distance, as in the authors' code.
        """
        at, end = torch.tensor(threshold), torch.tensor([0.0, 2.0])
        phi = [lambda d, s=s: torch.special.ndtr((d - self.mode) / s) for s in (self.left, self.right)]
        far_left, far_right = (phi[0](end[0]), phi[1](end[1])) if exact else (0.0, 1.0)
        below = (phi[0](at) - phi[0](distances)) / (phi[0](at) - far_left).clamp_min(1e-12)
        above = (phi[1](distances) - phi[1](at)) / (far_right - phi[1](at)).clamp_min(1e-12)
        return torch.where(distances <= threshold, below, above).clamp(0, 1)


def _mean(values: Tensor) -> float:
    return float(values.mean()) if len(values) else 0.0
