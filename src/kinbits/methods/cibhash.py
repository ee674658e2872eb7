"""CIBHash: contrastive learning on binary codes, with an information bottleneck."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from kinbits.errors import UsageError
from kinbits.heads import Linear, Mlp
from kinbits.methods.base import Batch, Recipe, Spec
from kinbits.methods.blocks.binary import signs, straight_through
from kinbits.methods.blocks.views import TwoViews, contrast
from kinbits.methods.registry import register

Sampling = Literal["deterministic", "bernoulli", "none"]


@register("cibhash")
class CibHash(TwoViews):
    """Make the codes of two random views of an image more similar than codes of different images.

    With a the logits of both views, stacked ``(2b, K)``, p = sigmoid(a) the probability of bit 1, the code c
    = sign(p - 1/2) in {-1, +1}^K whose gradient is passed straight to p (dc/dp = 1, so dc/da = p (1 - p)),
    s_ij = c_i . c_j / (K temperature), and i+ the other view of i::

        L = mean_i -log (exp s_ii+ / sum_{j != i} exp s_ij) + beta / 2 (KL(p1 | p2) + KL(p2 | p1))

    KL is summed over the bits and averaged over the images. Its second argument has no gradient. The term bounds
    the information that the code of one view has beyond the other view.

    Differences: ``sampling="deterministic"`` is the authors' code, and ``"bernoulli"`` the paper's c = sign(p - u)
    with uniform u, which was far worse in our trials. The authors keep the dropout of the frozen VGG on in training,
    which makes views differ more. ``dropout`` does this for any features, and is off by default. KL is computed from
    log-sigmoids instead of logarithms with a small constant. ``sampling="none"`` is ours: c = 2 p - 1 without signs in
    training, which learned better codes for copies. The authors choose the epoch by labels; here the number of
    epochs is fixed. Two copies of one image in a batch count as different images.

    Args:
        spec: The task.
        temperature: tau > 0. The paper's 0.3 groups similar images; 0.05 keeps each image apart from all others but its
            copies.
        beta: Weight of the bottleneck. The paper's 0.001 has little effect on small heads; try 0.01 to 0.1.
        hidden: Width of the head's hidden layer; 0 means one linear layer.
        sampling: How codes are drawn in training.
        dropout: Share of features that is set to 0 in each view. For vectors, which have no views, it makes them.

    Reference: Z. Qiu, Q. Su, Z. Ou, J. Yu, C. Chen, "Unsupervised Hashing with Contrastive Information
    Bottleneck", IJCAI 2021.
    """

    recipe = Recipe(epochs=30, batch_size=64, lr=1e-3, min_steps=1875)

    def __init__(
        self,
        spec: Spec,
        *,
        temperature: float = 0.3,
        beta: float = 0.001,
        hidden: int = 1024,
        sampling: Sampling = "deterministic",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(spec, dropout=dropout)
        if temperature <= 0 or beta < 0 or hidden < 0:
            raise UsageError(
                f"temperature {temperature}, beta {beta}, hidden {hidden}: need temperature > 0, beta >= 0 and "
                f"hidden >= 0"
            )
        if sampling not in get_args(Sampling):
            raise UsageError(f"sampling is '{sampling}'; use {', '.join(get_args(Sampling))}")
        self.temperature, self.beta, self.sampling = temperature, beta, sampling
        self.head = Mlp(spec.feature_dim, spec.bits, hidden=hidden) if hidden else Linear(spec.feature_dim, spec.bits)

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the contrastive term and the bottleneck.

        Args:
            batch: The rows of this step.
            logits: The head's output on the first views, then on the second views, float ``(2b, bits)``.
        """
        one, two = self.both(batch, logits)
        codes = self.codes(logits)
        scores = codes @ codes.T / (self.spec.bits * self.temperature)
        bottleneck = (divergence(one, two.detach()) + divergence(two, one.detach())) / 2
        return {"contrast": contrast(scores), "bottleneck": self.beta * bottleneck.mean()}

    def codes(self, logits: Tensor) -> Tensor:
        """Return codes of -1 and +1, float ``(n, bits)``, with the gradient of the probabilities.

        Without signs, they are numbers between -1 and +1.
        """
        p = torch.sigmoid(logits)
        if self.sampling == "none":
            return 2 * p - 1
        soft = p - (torch.rand_like(p) if self.sampling == "bernoulli" else 0.5)
        return straight_through(soft, signs(soft))


def divergence(one: Tensor, two: Tensor) -> Tensor:
    """Return KL(Bernoulli(sigmoid(one)) | Bernoulli(sigmoid(two))) summed over the bits, ``(n,)``."""
    yes = torch.sigmoid(one) * (F.logsigmoid(one) - F.logsigmoid(two))
    no = torch.sigmoid(-one) * (F.logsigmoid(-one) - F.logsigmoid(-two))
    return (yes + no).sum(1)
