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
    """Draw a binary centre for each class, far from the others, and pull each code to the centre of its class.

    With z the logits, u = tanh(z), h = (u + 1) / 2, c in {-1, +1}^K the image's centre and c' = (c + 1) / 2::

        L_C = -mean_k [c'_k log h_k + (1 - c'_k) log(1 - h_k)]        central similarity
        L_Q = mean_k (|u_k| - 1)^2                                    quantization
        L   = mean over images of L_C + lambda L_Q

    An image with several labels has the bitwise majority of their centres, c = sign(sum_j c_j). A tie takes the bit of
    a random code r that is drawn once.

    Differences: h = sigmoid(2 z), so L_C is the cross-entropy on the logits 2 z, whose gradient does not vanish at a
    wrong, saturated bit. L_Q follows the authors' code; ``quantizer="log-cosh"`` is the paper's log cosh(|u| - 1),
    as a mean instead of a sum. Rows of the Hadamard matrix are shuffled and half of them negated, see `hash_centres`.
    Balanced sets are the best of 200, not the first that passes a test. Images without a label are left out. The head
    is one linear layer; the authors train three on a whole network. The third term of their code, over pairs, has
    weight 0 in all published runs, and is left out.

    Args:
        spec: The task.
        quantization: lambda; published runs use 0.05 (ResNet-50) down to 0.0001.
        quantizer: The form of L_Q.
        centres: Kind of centres, see `hash_centres`.

    Reference: L. Yuan, T. Wang, X. Zhang, F. E. H. Tay, Z. Jie, W. Liu, J. Feng, "Central Similarity Quantization for
    Efficient Image and Video Retrieval", CVPR 2020.
    """

    standalone_loss = True
    recipe = Recipe(
        epochs=20,
        batch_size=64,
        lr=1e-3,
        optimizer="adamw",
        weight_decay=2.0,
        backbone_weight_decay=5e-4,
        schedule="cosine",
        min_steps=2500,
    )
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
            raise UsageError(f"{spec.classes} class: hash centres need two or more classes")
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
        centres = self.centres_of(batch.require_labels())
        known = labelled(batch.require_labels()).float()[:, None] / logits.shape[1]
        known = known / (known > 0).sum().clamp_min(1)
        bits = F.binary_cross_entropy_with_logits(2 * logits, (centres + 1) / 2, reduction="none")
        apart = torch.tanh(logits).abs() - 1
        apart = apart.square() if self.quantizer == "square" else torch.log(torch.cosh(apart))
        return {"centre": (known * bits).sum(), "quantization": self.quantization * (known * apart).sum()}

    def centres_of(self, labels: Tensor) -> Tensor:
        """Return each image's centre, float -1 and +1 ``(b, K)``; any for images without a label."""
        if labels.ndim == 1:
            return self.centres[labels.clamp_min(0)]
        votes = (labels > 0).float() @ self.centres
        return torch.where(votes == 0, self.tie, votes.sign())
