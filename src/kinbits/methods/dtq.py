"""DTQ: hard triplets on vectors that are near what their composite codes stand for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kinbits.errors import DataError, UsageError
from kinbits.methods.base import Batch, Recipe, Spec, TrainView
from kinbits.methods.blocks.composite import CompositeMethod
from kinbits.methods.blocks.labels import labelled, similar
from kinbits.methods.registry import register


@register("dtq")
class Dtq(CompositeMethod):
    """Pull classes together in hard triplets, and keep vectors near the sums of words that their codes stand for.

    With z the head's output ``(D,)``, C_m the M codebooks of K words of the same length, c the code of z and y the sum
    of its words, over triplets of anchor a, positive p, which shares a label with it, and negative n, which does not::

        L = mean max(0, |z_a - z_p|^2 - |z_a - z_n|^2 + delta) + lambda mean_i |z_i - y_i|^2        y = sum_m C_mc_m
        C = (H^T H + 0.001 I)^-1 H^T Z        c: cyclic over m, the word that leaves the smallest error

    H holds a one for each word of each row, Z the vectors. y has no gradient. In each epoch the rows are shuffled and
    cut into groups. In its group, a row gets a random positive, and a random negative of those that violate the margin
    delta. Queries are ranked by the inner product z . y, a sum of M look-ups.

    Differences: a row is the anchor of one triplet an epoch; the authors take all its positives in the group, in groups
    that grow as triplets become rare. A row without a violating negative gets any other one instead, so epochs stay
    equally long. Three turns of codes and words follow each epoch, on at most 256 rows for each word. The code of a
    vector is found in each step. The paper's penalty on products of different codebooks is left out, as in the authors'
    code. The head is one layer with tanh on the features; the authors train a whole AlexNet. Rows without a label are
    not used.

    Args:
        spec: The task.
        words: K, 16 or 256: 4 or 8 bits a codebook.
        dims: Length D of the vectors.
        margin: delta; squared distances are at most 4 D.
        quantization: lambda; 0 in the authors' published settings.
        group: Rows of a group.

    Reference: B. Liu, Y. Cao, M. Long, J. Wang, J. Wang, "Deep Triplet Quantization", ACM Multimedia 2018.
    """

    recipe = Recipe(epochs=15, batch_size=128, lr=1e-3, min_steps=1000)

    def __init__(
        self,
        spec: Spec,
        *,
        words: int = 256,
        dims: int = 64,
        margin: float = 30.0,
        quantization: float = 1e-3,
        group: int = 512,
    ) -> None:
        if margin <= 0 or quantization < 0 or group < 3:
            raise UsageError(
                f"margin {margin}, quantization {quantization}, group {group}: need margin > 0, quantization >= 0 and "
                f"groups of 3 rows or more"
            )
        super().__init__(spec, words=words, dims=dims)
        self.margin, self.quantization, self.group = margin, quantization, group

    def epoch_rows(self, epoch: int, train: TrainView) -> Tensor:
        """Draw the epoch's triplets, int64 ``(m, 3)``."""
        if train.labels is None:
            raise DataError("method 'dtq' learns from labels, and the data have none")
        rows = train.rng.permutation(np.flatnonzero(labelled(train.labels).cpu().numpy()))
        z, drawn = self.outputs(train), []
        for start in range(0, len(rows), self.group):
            some = torch.from_numpy(rows[start : start + self.group]).to(z.device)
            found = hard_triplets(z[some], train.labels[some], self.margin, train.rng)
            drawn.append(some[found])
        if not sum(map(len, drawn)):
            raise DataError(
                "no triplet can be drawn: give at least two classes, one of them with two images, or larger groups"
            )
        return torch.cat(drawn)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the hinge of the triplets, and the distance of the vectors to their codes."""
        a, p, n = logits.view(-1, 3, self.head.outputs).unbind(1)
        near, far = (a - p).square().sum(1), (a - n).square().sum(1)
        terms = {"triplets": F.relu(near - far + self.margin).mean()}
        if self.quantization:
            terms["quantization"] = self.quantization * self.away(logits).mean()
        return terms


@torch.no_grad()
def hard_triplets(z: Tensor, labels: Tensor, margin: float, rng: np.random.Generator) -> Tensor:
    """Draw a positive and a hard negative for each row that has a positive and a negative.

    Args:
        z: Vectors of labelled rows, float ``(g, D)``.
        labels: int64 ``(g,)`` or multi-hot ``(g, C)``.
        margin: A negative is hard if it is not further than the positive by this squared distance.
        rng: Generator of the draws.

    Returns:
        int64 ``(m, 3)``: anchor, positive, negative. The negative is any other one where none is hard.
    """
    same = similar(labels, labels).bool()
    others = same & ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    anchors = torch.nonzero(others.any(1) & ~same.all(1))[:, 0]
    positives = _draw(others[anchors], rng)
    away = torch.cdist(z[anchors], z).square()
    hard = ~same[anchors] & (away < away.gather(1, positives[:, None]) + margin)
    allowed = torch.where(hard.any(1, keepdim=True), hard, ~same[anchors])
    return torch.stack([anchors, positives, _draw(allowed, rng)], 1)


def _draw(allowed: Tensor, rng: np.random.Generator) -> Tensor:
    """Return a random column that is allowed in each row."""
    keys = torch.from_numpy(rng.random(allowed.shape, np.float32)).to(allowed.device)
    return torch.where(allowed, keys, -1).argmax(1)
