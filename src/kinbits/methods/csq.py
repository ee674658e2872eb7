"""CSQ: pull each code to a fixed hash centre of its class, bit by bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from kinbits.errors import UsageError
from kinbits.heads import Linear
from kinbits.methods.base import Batch, Method, Recipe, Spec
from kinbits.methods.blocks.labels import labelled
from kinbits.methods.blocks.targets import hash_centres
from kinbits.methods.registry import register


@register("csq")
class Csq(Method):
    """Give each class a binary centre far from all others, and every image the bits of its centre.

    With z the logits, u = tanh(z), h = (u + 1) / 2, c in {-1, +1}^K the image's centre and c' = (c + 1) / 2::

        L_C = -mean_k [c'_k log h_k + (1 - c'_k) log(1 - h_k)]        central similarity
        L_Q = mean_k (|u_k| - 1)^2                                    quantization
        L   = mean over images of L_C + lambda L_Q

    An image with several labels has the bitwise majority of their centres, c = sign(sum_j c_j); where votes are
    even, the bit of one random code r that is drawn once.

    Differences: h = sigmoid(2 z), so L_C is the cross-entropy on the logits 2 z, whose gradient does not vanish at a
    wrong bit that saturates. L_Q is the authors' code; ``quantizer="log-cosh"`` is the paper's sum of
    log cosh(|u| - 1), also taken as a mean. Rows of the Hadamard matrix are shuffled and half of them negated, see
    `hash_centres`; balanced sets are the best of 200 and not the first that passes a test. Images without a label
    take no part. The head is one linear layer, where the authors train three on a whole network. The code's third
    term, over pairs, has no weight in any published run and is left out.

    Args:
        spec: The task.
        quantization: lambda; published runs use 0.05 (ResNet-50) down to 0.0001.
        quantizer: The form of L_Q.
        centres: How centres are drawn, see `hash_centres`.

    Reference: L. Yuan, T. Wang, X. Zhang, F. E. H. Tay, Z. Jie, W. Liu, J. Feng, "Central Similarity Quantization for
    Efficient Image and Video Retrieval", CVPR 2020.
    """

    standalone_loss = True
    recipe = Recipe(epochs=60, batch_size=64, lr=1e-3, weight_decay=5e-4, schedule="cosine")
    centres: Tensor
    tie: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        quantization: float = 1e-3,
        quantizer: Literal["square", "log-cosh"] = "square",
        centres: Literal["auto", "hadamard", "balanced", "bernoulli"] = "auto",
    ) -> None:
        super().__init__(spec)
        if spec.classes < 2:
            raise UsageError(f"{spec.classes} class: centres tell classes apart; give data with two or more")
        if quantization < 0 or quantizer not in ("square", "log-cosh"):
            raise UsageError(f"quantization {quantization}, quantizer '{quantizer}': need >= 0, square or log-cosh")
        self.quantization, self.quantizer = quantization, quantizer
        self.head = Linear(spec.feature_dim, spec.bits)
        rng = spec.rng
        drawn = hash_centres(spec.classes, spec.bits, rng, kind=centres)
        self.register_buffer("centres", torch.from_numpy(drawn).float())
        self.register_buffer("tie", torch.from_numpy(rng.choice([-1.0, 1.0], spec.bits)).float())

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the two terms, means over bits and labelled images."""
        wanted = self.wanted(batch.require_labels())
        known = labelled(batch.require_labels()).float()[:, None] / logits.shape[1]
        known = known / (known > 0).sum().clamp_min(1)
        bits = F.binary_cross_entropy_with_logits(2 * logits, (wanted + 1) / 2, reduction="none")
        apart = torch.tanh(logits).abs() - 1
        apart = apart.square() if self.quantizer == "square" else torch.log(torch.cosh(apart))
        return {"centre": (known * bits).sum(), "quantization": self.quantization * (known * apart).sum()}

    def wanted(self, labels: Tensor) -> Tensor:
        """Return each image's centre, float -1 and +1 ``(b, K)``; any for images without a label."""
        if labels.ndim == 1:
            return self.centres[labels.clamp_min(0)]
        votes = (labels > 0).float() @ self.centres
        return torch.where(votes == 0, self.tie, votes.sign())
