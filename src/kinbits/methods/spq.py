"""SPQ: compare the vector of one view with the soft product code of the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinbits.errors import UsageError
from kinbits.heads import SoftProductHead
from kinbits.methods.base import Batch, Recipe, Spec
from kinbits.methods.blocks.views import TwoViews, contrast
from kinbits.methods.registry import register


@register("spq")
class Spq(TwoViews):
    """Make the vector of one view similar to the soft product code of the other, and to no other image.

    With x_m part m of M of the head's output for one view, C_m a codebook of K words, and [..] joining the parts::

        p_mk = softmax_k(-sharpness |x_m - C_mk|^2)        z = [p_m C_m]        s(u, v) = cos(u, v) / temperature
        L    = l(x^a, z^b) + l(x^b, z^a)

    a and b are the views. l(x, z) is the mean of -log (exp s_ij / sum_{k != i} exp s_ik) over the 2b vectors of the
    batch's x and z, each as i, with j the other vector of its image. Codes are the nearest words, and a query is ranked
    by the distances of x to them.

    Differences: this l is that of the authors' code. ``negatives="crossed"`` is the paper's formula, which compares
    each x with the z of the batch alone. Distances in search are squared; ``distance="norms"`` adds the roots of those
    of the parts, as the authors' code does. The authors train a whole network for thousands of epochs; here two layers
    read frozen features. Two copies of one image in a batch count as different images.

    Args:
        spec: The task.
        words: K, 16 or 256: 4 or 8 bits a part. The authors use 16.
        width: Length of a part.
        hidden: Width of the hidden layer; 0 for none.
        sharpness: How much nearer words weigh; the paper divides by 0.2.
        temperature: tau > 0.
        negatives: With what a vector is compared: ``"all"`` others, or ``"crossed"``.
        distance: Of search, summed over the parts: ``"squared"`` or ``"norms"``.
        dropout: Share of features that is set to 0 in each view. For vectors, which have no views, it makes them.

    Reference: Y. K. Jang, N. I. Cho, "Self-supervised Product Quantization for Deep Unsupervised Image Retrieval", ICCV
    2021.
    """

    recipe = Recipe(epochs=30, batch_size=128, lr=3e-4, min_steps=1600)
    head: SoftProductHead

    def __init__(
        self,
        spec: Spec,
        *,
        words: int = 16,
        width: int = 16,
        hidden: int = 512,
        sharpness: float = 5.0,
        temperature: float = 0.5,
        negatives: Literal["all", "crossed"] = "all",
        distance: Literal["squared", "norms"] = "squared",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(spec, dropout=dropout)
        if sharpness < 0 or temperature <= 0:
            raise UsageError(f"sharpness {sharpness}, temperature {temperature}: need sharpness >= 0, temperature > 0")
        self.sharpness, self.temperature, self.negatives = sharpness, temperature, negatives
        metric = "norms" if distance == "norms" else "euclidean"
        self.head = SoftProductHead(spec.feature_dim, spec.bits, words, width, metric, hidden)
        bound = (6 / (words + self.head.outputs)) ** 0.5  # Xavier uniform, of all books side by side
        nn.init.uniform_(self.head.books, -bound, bound)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the contrastive term.

        Args:
            batch: The rows of this step.
            logits: The head's output on the first views, then on the second views, float ``(2b, D)``.
        """
        views, mixed = (self.both(batch, vectors) for vectors in (logits, self.soft(logits)))
        compare = self.among_all if self.negatives == "all" else self.crossed
        return {"contrast": compare(views[0], mixed[1]) + compare(views[1], mixed[0])}

    def soft(self, x: Tensor) -> Tensor:
        """Return z, float ``(n, D)``, of vectors x of the same shape."""
        books = self.head.books
        near = 2 * torch.einsum("nmd,mkd->nmk", self.head.split(x), books) - books.square().sum(2)
        return self.head.mix((self.sharpness * near).softmax(2))  # |x_m|^2 is the same for all words

    def among_all(self, x: Tensor, z: Tensor) -> Tensor:
        """Return l of the authors' code, of vectors ``(b, D)`` each."""
        both = F.normalize(torch.cat([x, z]))
        return contrast(both @ both.T / self.temperature)

    def crossed(self, x: Tensor, z: Tensor) -> Tensor:
        """Return l of the paper, of vectors ``(b, D)`` each."""
        scores = F.normalize(x) @ F.normalize(z).T / self.temperature
        return F.cross_entropy(scores, torch.arange(len(x), device=x.device))
