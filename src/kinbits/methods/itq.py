"""ITQ: the rotation of principal components with the smallest quantization error."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

from kinbits.errors import UsageError
from kinbits.methods.base import Spec, TrainView
from kinbits.methods.blocks.projection import Projection, inputs_mean, random_rotation
from kinbits.methods.registry import register

MOST_COMPONENTS = 1 << 29  # float32 numbers in memory, 2 GiB


@register("itq")
class Itq(Projection):
    """Alternate between codes and the rotation that brings the principal components closest to them.

    With V the components ``(n, K)``, minimise ``|B - V R|^2`` over B in {-1, +1} and orthogonal R: B = sign(V
    R); then, with the singular value decomposition ``B^T V = S D T^T``, R = T S^T. From more than 2^29 components V
    (8 million rows at 64 bits), rows are drawn for R.

    Args:
        spec: The task.
        iterations: Alternations, 50 in the paper.

    Reference: Y. Gong, S. Lazebnik, A. Gordo, F. Perronnin, "Iterative Quantization: A Procrustean Approach
    to Learning Binary Codes", CVPR 2011, eqs. 2 and 3.
    """

    def __init__(self, spec: Spec, *, iterations: int = 50) -> None:
        super().__init__(spec)
        if iterations < 1:
            raise UsageError(f"iterations is {iterations}; it must be at least 1")
        self.iterations = iterations

    def projection(self, train: TrainView) -> Tensor:
        """Return the principal axes under the best rotation."""
        axes = self.principal(train)
        mean = inputs_mean(self.head, train).float()
        rows = self._rows_of_rotation(len(train))
        components = torch.cat([(self.head.standard(chunk) - mean) @ axes.T for chunk in train.chunks(rows=rows)])
        rotation = random_rotation(self.spec.bits, self.spec).to(self.head.centre.device)
        for _ in range(self.iterations):
            codes = torch.where(components @ rotation >= 0, 1.0, -1.0)
            left, _, right = torch.linalg.svd(codes.T @ components)
            rotation = (left @ right).T
        return rotation.T @ axes

    def _rows_of_rotation(self, n: int) -> np.ndarray | None:
        """Return the rows whose components fit into memory, drawn by the seed; None takes all."""
        most = MOST_COMPONENTS // self.spec.bits
        if n <= most:
            return None
        warnings.warn(
            f"itq learns its rotation from {most:,} of {n:,} rows, drawn by the seed, and its axes from all rows",
            stacklevel=2,
        )
        return np.sort(np.random.default_rng([self.spec.seed, n]).choice(n, most, replace=False, shuffle=False))
