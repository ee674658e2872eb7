"""DQN: cosines that fit the pairs of a batch, and vectors that are near what their codes stand for."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinbits import hamming
from kinbits.errors import UsageError
from kinbits.heads import ProductHead
from kinbits.methods.base import Batch, Recipe, Spec, TrainView
from kinbits.methods.blocks.codebooks import ProductMethod
from kinbits.methods.blocks.pairwise import pairs_within
from kinbits.methods.registry import register


@register("dqn")
class Dqn(ProductMethod):
    """Fit the cosine of every pair to +1 or -1, and keep vectors near what their product codes stand for.

    With z the head's output ``(D,)``, z_m part m of M, C_m its K words, y what the code of z stands for, and s_ij = +1
    for a shared label, else -1::

        L   = mean_ij (s_ij - cos(z_i, z_j))^2 + lambda mean_i |z_i - y_i|^2
        C_m = k-means of z_m        c_m = argmin_k |z_m - C_mk|^2        y = [C_1c_1, ..., C_Mc_M]

    All pairs of a batch count, those of a row with itself too. y has no gradient. The second term is left out in the
    first epoch, before there are words. Queries are ranked by |z - y|^2, a sum of M look-ups.

    Differences: the words are fitted after each epoch, by k-means on the current vectors of at most 256 rows for each
    word, starting from the last words. The authors' code starts k-means anew after every other epoch, on recorded
    vectors. The code of a vector is found in each step, not kept from the last k-means. The head is one layer with tanh
    on the features; the authors train a whole AlexNet, and this layer ten times faster than the others. Their code
    ranks by the inner product. Rows without a label are in no pair.

    Args:
        spec: The task.
        words: K, 16 or 256: 4 or 8 bits a part.
        width: Length D / M of a part.
        quantization: lambda; the authors' code has 0.0001. On frozen features more than 0.01 is too much.

    Reference: Y. Cao, M. Long, J. Wang, H. Zhu, Q. Wen, "Deep Quantization Network for Efficient Image Retrieval", AAAI
    2016.
    """

    recipe = Recipe(epochs=30, batch_size=128, lr=1e-3, min_steps=1500)

    def __init__(self, spec: Spec, *, words: int = 256, width: int = 16, quantization: float = 1e-3) -> None:
        if quantization < 0 or width < 1:
            raise UsageError(f"quantization {quantization}, width {width}: need quantization >= 0 and width >= 1")
        hamming.check_words(words, spec.bits)
        dims = width * hamming.part_count(spec.bits, words)
        super().__init__(spec, words=words, head=ProductHead(spec.feature_dim, spec.bits, words, dims, tanh=True))
        self.head.layers = nn.Linear(spec.feature_dim, dims)
        self.quantization, self._has_words = quantization, False

    def start_epoch(self, epoch: int, train: TrainView) -> None:
        """Add the second term from the second epoch on."""
        self._has_words = epoch > 0

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the misfit of the cosines of labelled pairs, and the distance of the vectors to their codes."""
        pairs = pairs_within(batch.require_labels(), self_pairs=True)
        unit = F.normalize(logits)
        terms = {"pairs": pairs.mean((2 * pairs.same - 1 - unit @ unit.T).square())}
        if self._has_words:
            y = self.head.rebuilt(self.head.numbers(logits.detach()))
            terms["quantization"] = self.quantization * (logits - y).square().sum(1).mean()
        return terms

    @torch.no_grad()
    def end_epoch(self, epoch: int, train: TrainView) -> None:
        """Fit the words to the vectors."""
        z = self.outputs(train, rows=self.sample(train, train.rng))
        fit = self.fit_books if epoch == 0 else self.update_books
        fit(z, train.rng)
