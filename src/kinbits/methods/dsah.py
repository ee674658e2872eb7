"""DSAH: a graph of similar pairs that grows with the codes, and pairs weighted by their information."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from kinbits.errors import DataError, UsageError
from kinbits.heads import Mlp
from kinbits.methods.base import Batch, Method, Recipe, Spec, TrainView
from kinbits.methods.blocks.binary import signs
from kinbits.methods.blocks.graphs import (
    FULL,
    add_similar_pairs,
    default_neighbours,
    nearest_rows,
    neighbour_pairs,
    pack_graph,
    pair_signs,
    unpack_graph,
)
from kinbits.methods.registry import register


@register("dsah")
class Dsah(Method):
    """Fit cosines of codes to a growing graph of +1 and -1 pairs, with more weight for informative pairs.

    With h = tanh of the logits, z = h / |h|, s_ij = z_i . z_j and w_ij in {-1, +1} for the b^2 pairs of a
    batch::

        L = alpha mean A_ij (s_ij - w_ij)^2 + beta mean (sign(h) - h)^2      A = -log softmax(s / temperature)

    The softmax is over all b^2 entries, so that dissimilar pairs, which are more informative, weigh more (PIC). The
    graph W starts from neighbourhoods of the features (``init``). After each ``every`` epochs it grows (AND). With H
    the h of all rows in evaluation mode and G = H H^T, each pair with G_ij >= mu + gamma sigma is added to W. mu and
    sigma are mean and deviation over the pairs of W, including the diagonal. No pair is removed. W is stored as sparse
    lists of its +1 entries.

    Differences: the quantization term uses h. The authors use z (``quant_on="z"``), whose distance to sign(h) is at
    least (1 - 1 / sqrt(K))^2. A has no gradient; with a gradient (``detach_pic=False``) small temperatures collapse.
    The authors' script for the first graph intersects with an empty set, and leaves no pair. ``init="nn"`` and
    ``"both"`` are ours, and ``"union"`` is that of BGAN, from which the script comes. A growth is skipped if it would
    more than double W, or make more than 30 % of all pairs similar. The smaller last batch is used.

    Args:
        spec: The task.
        neighbours: K1 neighbours of a row; 0 chooses 0.03 n, 10 at least, 10^8 / n at most.
        second: K2 rows that share most neighbours; 0 means ``neighbours``.
        init: ``"nn"``, ``"both"``, ``"union"`` or ``"inter"``, see `neighbour_pairs`; all but the first count shared
            neighbours, which takes O(n^2).
        every: Epochs between two growths of W, 0 for none.
        strictness: gamma; take 0.5 to 1 if the added pairs are wrong.
        diagonal: Include the pairs of rows with themselves in mu and sigma, which raises the threshold.
        alpha: Weight of the pairs.
        beta: Weight of the quantization. A is near log b^2, about 8, so 3 is no more than half of the pairs'
            weight; with ``pic=False`` take 0.1. The authors use 0 and 10.
        pic: Use the weights A; otherwise all weights are 1.
        temperature: Of the softmax in A.
        detach_pic: Keep gradients out of A.
        quant_on: ``"h"`` or ``"z"``.
        hidden: Width of the head's hidden layer.

    Reference: Q. Lin, X. Chen, Q. Zhang, S. Tian, Y. Chen, "Deep Self-Adaptive Hashing for Image Retrieval",
    CIKM 2021.
    """

    supervision: ClassVar = "none"
    recipe = Recipe(epochs=60, batch_size=50, lr=1e-3)

    def __init__(
        self,
        spec: Spec,
        *,
        neighbours: int = 0,
        second: int = 0,
        init: Literal["nn", "both", "union", "inter"] = "nn",
        every: int = 20,
        strictness: float = 0.0,
        diagonal: bool = True,
        alpha: float = 1.0,
        beta: float = 3.0,
        pic: bool = True,
        temperature: float = 1.0,
        detach_pic: bool = True,
        quant_on: Literal["h", "z"] = "h",
        hidden: int = 128,
    ) -> None:
        super().__init__(spec)
        if min(neighbours, second, every, alpha, beta) < 0 or temperature <= 0 or hidden < 1:
            raise UsageError(
                "need neighbours, second, every, alpha, beta >= 0, temperature > 0 and hidden >= 1; given "
                f"{neighbours}, {second}, {every}, {alpha}, {beta}, {temperature} and {hidden}"
            )
        if init not in ("nn", "both", "union", "inter") or quant_on not in ("h", "z"):
            raise UsageError(f"init '{init}' and quant_on '{quant_on}': use nn, both, union or inter, and h or z")
        self.neighbours, self.second, self.init = neighbours, second, init
        self.every, self.strictness, self.diagonal = every, strictness, diagonal
        self.alpha, self.beta, self.pic, self.temperature = alpha, beta, pic, temperature
        self.detach_pic, self.quant_on = detach_pic, quant_on
        self.head = Mlp(spec.feature_dim, spec.bits, hidden=hidden)
        self.pairs: Any = None

    def prepare(self, train: TrainView) -> None:
        """Build the first graph."""
        n = len(train)
        first = self.neighbours or default_neighbours(n)
        second = self.second or first
        if max(first, second) >= n:
            raise DataError(
                f"neighbours is {first} and second is {second}, of {n} images; give at most {n - 1}, or 0 to let the "
                f"number of images choose"
            )
        self.pairs = neighbour_pairs(nearest_rows(train, first + 1), second, self.init)
        if self.pairs.nnz < 2 * n:
            raise DataError(
                f"'{self.init}' leaves {self.pairs.nnz / n - 1:.2f} similar images per image, too few to "
                f"learn from; raise neighbours, or use init 'nn'"
            )

    @torch.no_grad()
    def end_epoch(self, epoch: int, train: TrainView) -> None:
        """Add similar pairs to the graph."""
        if self.every and (epoch + 1) % self.every == 0:
            codes, limit = torch.tanh(self.outputs(train)), min(2 * self.pairs.nnz, FULL * len(train) ** 2)
            self.pairs = add_similar_pairs(self.pairs, codes, self.strictness, limit, diagonal=self.diagonal)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the weighted fit of the cosines, and the quantization."""
        codes = torch.tanh(logits)
        unit = F.normalize(codes, dim=1)
        cosine = unit @ unit.T
        fit = (self.information(cosine) * (cosine - self.signs(batch.rows)).square()).mean()
        lost = (signs(codes) - (codes if self.quant_on == "h" else unit)).square().mean()
        return {"pairs": self.alpha * fit, "quantization": self.beta * lost}

    def information(self, cosine: Tensor) -> Tensor:
        """Return the weights A of the pairs, float ``(b, b)``."""
        if not self.pic:
            return torch.ones_like(cosine)
        weights = -F.log_softmax(cosine.flatten() / self.temperature, dim=0).view_as(cosine)
        return weights.detach() if self.detach_pic else weights

    def signs(self, rows: Tensor) -> Tensor:
        """Return W among some rows, float -1/+1 ``(b, b)``."""
        if self.pairs is None:
            raise UsageError("method 'dsah' needs its graph; call prepare first")
        return pair_signs(self.pairs, rows)

    def get_extra_state(self) -> Tensor:
        """Return the graph for the checkpoint."""
        return pack_graph(self.pairs)

    def set_extra_state(self, state: Tensor) -> None:
        """Put the graph of a checkpoint back."""
        self.pairs = unpack_graph(state, self.spec.n_train)
