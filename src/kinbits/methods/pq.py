"""PQ: cut a vector into parts, and keep for each the number of its nearest word."""

from __future__ import annotations

from typing import ClassVar

import torch

from kinbits.methods.base import Recipe, Spec, TrainView
from kinbits.methods.blocks.codebooks import ProductMethod
from kinbits.methods.registry import register


@register("pq")
class Pq(ProductMethod):
    """Learn a codebook for each part of the vectors by k-means; a code is the numbers of the nearest words.

    With x_m part m of M and C_m its K words::

        C_m = k-means of x_m        c_m = argmin_k |x_m - C_mk|^2
        d(q, c) = sum_m |q_m - C_mc_m|^2

    d is the distance of a real-valued query to what the code stands for.

    Differences: k-means sees at most 256 rows for each word, in 25 passes.

    Args:
        spec: The task.
        words: K, 16 or 256: 4 or 8 bits a part.
        metric: ``"euclidean"``; ``"cosine"``: of vectors scaled to length 1; ``"inner"``: d is minus the inner product.

    Reference: H. Jegou, M. Douze, C. Schmid, "Product Quantization for Nearest Neighbor Search", TPAMI 2011.
    """

    supervision: ClassVar = "none"
    recipe = Recipe(epochs=0)

    def __init__(self, spec: Spec, *, words: int = 256, metric: str = "euclidean") -> None:
        super().__init__(spec, words=words, metric=metric)

    @torch.no_grad()
    def prepare(self, train: TrainView) -> None:
        """Learn the codebooks."""
        rng = self.spec.rng
        self.fit_books(self.outputs(train, rows=self.sample(train, rng)), rng)
