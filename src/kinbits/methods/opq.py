"""OPQ: rotate vectors so that product quantization loses least."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from kinbits import hamming
from kinbits.errors import UsageError
from kinbits.methods.base import Recipe, Spec, TrainView
from kinbits.methods.blocks.codebooks import ProductMethod
from kinbits.methods.registry import register


@register("opq")
class Opq(ProductMethod):
    """Alternate between codebooks and the rotation of the vectors with the smallest quantization error.

    With X the vectors ``(n, D)``, centred but for the inner product, R a rotation and Y the reconstructions of the rows
    of X R, minimise
    |X R - Y|^2 in turns::

        C_m = k-means of part m of X R, from the last C_m        X^T Y = U S V^T        R = U V^T

    R starts with the principal axes of X. Each is given, in order of variance, to the part with the smallest product of
    variances so far that has room, so that parts hold equally much.

    Differences: each turn takes four passes of k-means. Learned from at most 256 rows for each word. If M does not
    divide the length of the vectors, the principal axes of least variance are left out.

    Args:
        spec: The task.
        words: K, 16 or 256: 4 or 8 bits a part.
        iterations: Turns.
        metric: As of `pq`.

    Reference: T. Ge, K. He, Q. Ke, J. Sun, "Optimized Product Quantization for Approximate Nearest Neighbor Search",
    CVPR 2013, the non-parametric solution.
    """

    supervision: ClassVar = "none"
    recipe = Recipe(epochs=0)

    def __init__(self, spec: Spec, *, words: int = 256, iterations: int = 30, metric: str = "euclidean") -> None:
        if iterations < 1:
            raise UsageError(f"iterations is {iterations}; it must be at least 1")
        super().__init__(spec, words=words, dims=_whole_parts(spec, words), metric=metric)
        self.iterations = iterations

    @torch.no_grad()
    def prepare(self, train: TrainView) -> None:
        """Learn the rotation and the codebooks."""
        head, rng = self.head, self.spec.rng
        rows = self.sample(train, rng)
        x = torch.cat([head.standard(chunk) for chunk in train.chunks(rows=rows)]).double()
        mean = torch.zeros_like(x[0]) if head.metric == "inner" else x.mean(0)
        x -= mean
        rotation = self._balanced_axes(x)
        self.fit_books((x @ rotation).float(), rng)
        for _ in range(self.iterations):
            z = (x @ rotation).float()
            self.update_books(z, rng)
            y = head.decode(head.codes_of(z)).double()
            u, _, v = torch.linalg.svd(x.T @ y, full_matrices=False)
            rotation = torch.mm(u, v)
        self.fit_books((x @ rotation).float(), rng)
        layer = head.layers
        assert isinstance(layer, nn.Linear)
        layer.weight.copy_(rotation.T)
        layer.bias.copy_(-(mean @ rotation))

    def _balanced_axes(self, x: Tensor) -> Tensor:
        """Return the principal axes of centred vectors, float64 ``(d, D)``, part after part."""
        values, axes = torch.linalg.eigh(x.T @ x / len(x))
        values, axes = values.flip(0).clamp_min(torch.finfo(torch.float64).tiny).log(), axes.flip(1)
        room = self.head.outputs // self.head.parts
        parts: list[list[int]] = [[] for _ in range(self.head.parts)]
        held = np.zeros(self.head.parts)
        for axis in range(self.head.outputs):
            part = min((p for p in range(len(parts)) if len(parts[p]) < room), key=lambda p: (held[p], p))
            parts[part].append(axis)
            held[part] += float(values[axis])
        order = torch.tensor([axis for part in parts for axis in part], device=axes.device)
        return torch.index_select(axes, 1, order)


def _whole_parts(spec: Spec, words: int) -> int:
    """Return the largest length that the parts of a code divide; 0 if the features are shorter than that."""
    parts = max(hamming.part_count(spec.bits, words), 1)
    return spec.feature_dim // parts * parts
