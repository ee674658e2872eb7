"""MeCoQ: contrastive learning on soft product codes, with a memory of past codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kinbits.errors import UsageError
from kinbits.heads import SoftProductHead
from kinbits.methods.base import Batch, Optimizer, Recipe, Spec, TrainView
from kinbits.methods.blocks.views import TwoViews
from kinbits.methods.registry import register


@register("mecoq")
class MeCoQ(TwoViews):
    """Make the soft product codes of two views of an image more similar than those of different images.

    With x_m part m of M of the head's output, scaled to length 1, C_m a codebook of K words of length 1, [..] joining
    the parts, i+ the other view of i, and N the others, which are the other images' views and the memory::

        p_m = softmax_k(sharpness x_m . C_mk)      z = [p_m C_m]      e_ij = exp(cos(z_i, z_j) / temperature)
        G_i = max((sum_j e_ij - prior N e_ii+) / (1 - prior), N exp(-1 / temperature))
        L   = mean_i -log (e_ii+ / (e_ii+ + G_i)) + certainty mean_im H(p_im) + spread mean_mkj C_mk . C_mj

    G corrects for others that are of the same kind as i, a share ``prior`` of all. H is the entropy. The last term
    keeps the words apart. The memory holds the latest p; the current words turn them into z. Codes are the words with
    the largest inner product with x, and a query is ranked by the inner product of x with the words.

    Differences: this is the paper. In the authors' code the words have no gradient, each positive is compared with the
    others of all images, and N leaves out the memory. The head is one linear layer, or two with ``hidden``, on frozen
    features, and learns by Adam instead of SGD. Two copies of one image in a batch count as different images.

    Args:
        spec: The task.
        words: K, 16 or 256: 4 or 8 bits a part.
        width: Length of a part.
        hidden: Width of a hidden layer; 0 for none.
        sharpness: alpha, how much nearer words weigh.
        temperature: T; the paper's are 0.25 to 0.4.
        prior: pi, probability that another image is of the same kind.
        certainty: lambda, weight of the entropy.
        spread: gamma, weight of the inner products of words.
        memory: Number of past codes that are kept.
        memory_from: Epoch from which they are compared with; the authors' are 3 to 15.
        dropout: Share of features that is set to 0 in each view. For vectors, which have no views, it makes them.

    Reference: J. Wang, Z. Zeng, B. Chen, T. Dai, S.-T. Xia, "Contrastive Quantization with Code Memory for Unsupervised
    Image Retrieval", AAAI 2022.
    """

    recipe = Recipe(epochs=30, batch_size=128, lr=1e-3, min_steps=2000)
    head: SoftProductHead
    memory: Tensor
    remembered: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        words: int = 256,
        width: int = 16,
        hidden: int = 0,
        sharpness: float = 10.0,
        temperature: float = 0.3,
        prior: float = 0.1,
        certainty: float = 0.05,
        spread: float = 0.5,
        memory: int = 384,
        memory_from: int = 5,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(spec, dropout=dropout)
        if sharpness <= 0 or temperature < 0.02 or not 0 <= prior < 1:
            raise UsageError(
                f"sharpness {sharpness}, temperature {temperature}, prior {prior}: need sharpness > 0, "
                "temperature >= 0.02 and 0 <= prior < 1"
            )
        if min(certainty, spread, memory, memory_from) < 0:
            raise UsageError(
                f"certainty {certainty}, spread {spread}, memory {memory}, memory_from {memory_from}: need >= 0"
            )
        self.sharpness, self.temperature, self.prior = sharpness, temperature, prior
        self.certainty, self.spread, self.memory_from = certainty, spread, memory_from
        self.head = SoftProductHead(spec.feature_dim, spec.bits, words, width, "inner", hidden)
        self.register_buffer("memory", torch.zeros(memory, self.head.parts, words))
        self.register_buffer("remembered", torch.zeros((), dtype=torch.int64))
        self._uses_memory = memory_from == 0
        self._scale_words()

    def start_epoch(self, epoch: int, train: TrainView) -> None:
        """Decide whether this epoch uses the memory."""
        self._uses_memory = epoch >= self.memory_from

    def step(self, batch: Batch, optimizers: Sequence[Optimizer]) -> Mapping[str, Tensor]:
        """Train on the two views of a batch's images, and keep the words at length 1."""
        terms = super().step(batch, optimizers)
        self._scale_words()
        return terms

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the contrast, the entropy and the inner products of words; then keep the soft codes.

        Args:
            batch: The rows of this step.
            logits: The head's output on the first views, then on the second views, float ``(2b, D)``.
        """
        self.both(batch, logits)
        scores = self.sharpness * torch.einsum("nmd,mkd->nmk", self._parts(logits), self.head.books)
        p, log_p = scores.softmax(2), scores.log_softmax(2)
        past = self.memory[len(self.memory) - int(self.remembered) :] if self._uses_memory else self.memory[:0]
        terms = {
            "contrast": self.contrast(self.head.mix(p), self.head.mix(past)),
            "certainty": -self.certainty * (p * log_p).sum(2).mean(),
            "spread": self.spread * self.head.books.mean(1).square().sum(1).mean(),
        }
        self._remember(p.detach())
        return terms

    def contrast(self, z: Tensor, past: Tensor) -> Tensor:
        """Return the first term, of the z of both views ``(2b, D)`` and of the memory ``(r, D)``."""
        z, past = F.normalize(z), F.normalize(past)
        own = torch.eye(len(z), dtype=torch.bool, device=z.device)
        partner = own.roll(len(z) // 2, 0)
        scores = z @ z.T / self.temperature
        others = torch.cat([scores.masked_fill(own | partner, -torch.inf), z @ past.T / self.temperature], 1)
        count = len(z) - 2 + len(past)
        positive = scores[partner].exp()
        negative = (others.exp().sum(1) - self.prior * count * positive) / (1 - self.prior)
        least = count * torch.tensor(-1 / self.temperature, device=z.device).exp()
        return (torch.log(positive + negative.maximum(least)) - scores[partner]).mean()

    def _parts(self, x: Tensor) -> Tensor:
        return F.normalize(self.head.split(x), dim=2)

    @torch.no_grad()
    def _remember(self, p: Tensor) -> None:
        self.memory = torch.cat([self.memory, p])[len(p) :]  # no change in place: gradients need the old one
        self.remembered.fill_(min(int(self.remembered) + len(p), len(self.memory)))

    @torch.no_grad()
    def _scale_words(self) -> None:
        self.head.books.copy_(F.normalize(self.head.books, dim=2))
