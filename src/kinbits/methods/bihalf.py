"""Bi-half: every bit is 1 for half of the images of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from kinbits.errors import UsageError
from kinbits.heads import Linear, Mlp
from kinbits.methods.base import Batch, Method, Recipe, Spec
from kinbits.methods.blocks.binary import straight_through
from kinbits.methods.blocks.pairwise import cosine_misfit
from kinbits.methods.registry import register


@register("bihalf")
class BiHalf(Method):
    """Fit cosines of codes to cosines of features; every bit splits each batch into halves.

    With U the logits of a batch ``(b, K)``, B has +1 at the b // 2 largest entries of each column of U and -1 at the
    others, so that every bit has the largest possible entropy. Backward, B passes its gradient to U and adds what
    draws U to B::

        dL/dU = dL/dB + gamma (U - B) / (b K)

    which is the gradient of the second term below, B held fixed. f are the features of the untrained backbone, and
    j(i) is the image half a batch after i::

        L = mean_i (cos(B_i, B_j(i)) - cos(f_i, f_j(i)))^2 + gamma / 2 mean_ik (U_ik - B_ik)^2

    Codes of single images are the signs of the logits: U stays near B, whose halves lie on both sides of 0.

    Differences: the head has a hidden layer, trained by Adam with weight decay. The authors train one linear layer on
    frozen features of VGG-16 with SGD (lr 1e-4, a tenth after 120 of 300 epochs, weight decay 5e-4) and batches of 32.
    Of equal logits, the earlier row of the batch has the +1; their order is undefined. Batches of odd size are allowed,
    where all images still have pairs and the middle one has a -1. If the backbone is trained too, f are the features of
    its unchanged copy.

    Args:
        spec: The task.
        gamma: Pull of the logits to the codes; the authors' value. With 0, nothing keeps the halves around 0.
        hidden: Width of the head's hidden layer; 0 means one linear layer, as the authors have.

    Reference: Y. Li, J. van Gemert, "Deep Unsupervised Image Hashing by Maximizing Bit Entropy", AAAI 2021.
    """

    supervision: ClassVar = "none"
    ema_decay = 1.0  # a trained backbone is compared with its unchanged copy
    recipe = Recipe(epochs=20, batch_size=64, lr=1e-3, weight_decay=1e-3, min_steps=3750)

    def __init__(self, spec: Spec, *, gamma: float = 6.0, hidden: int = 512) -> None:
        super().__init__(spec)
        if gamma < 0 or hidden < 0:
            raise UsageError(f"gamma {gamma} and hidden {hidden}: need both >= 0")
        self.gamma = gamma
        self.head = Mlp(spec.feature_dim, spec.bits, hidden=hidden) if hidden else Linear(spec.feature_dim, spec.bits)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the error of the cosines, and the pull of the logits to their codes."""
        codes = halves(logits)
        return {
            "cosines": cosine_misfit(straight_through(logits, codes), batch.reference_features),
            "pull": self.gamma / 2 * (logits - codes).square().mean(),
        }


def halves(logits: Tensor) -> Tensor:
    """Return +1 for the n // 2 largest values of each column, -1 for the others, float ``(n, bits)``, no gradient."""
    order = logits.detach().sort(dim=0, descending=True, stable=True).indices
    return torch.full_like(logits, -1.0).scatter(0, order[: len(logits) // 2], 1.0).detach()
