"""GreedyHash without labels: cosines of the signs follow cosines of the features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from kinbits.errors import UsageError
from kinbits.heads import Mlp
from kinbits.methods.base import Batch, Method, Recipe, Spec, TrainView
from kinbits.methods.blocks.binary import quantization_error, signs, straight_through
from kinbits.methods.blocks.pairwise import cosine_misfit
from kinbits.methods.registry import register


@register("greedyhash-unsupervised")
class GreedyHashUnsupervised(Method):
    """Fit cosines of codes to cosines of features, with a straight-through gradient.

    With u the logits ``(b, K)``, v = sign(u), dv/du = 1 everywhere, f the features of the untrained backbone minus
    their mean over the training set, and j(i) the image half a batch after i::

        L = mean_i (cos(v_i, v_j(i)) - cos(f_i, f_j(i)))^2 + alpha mean_ik | |u_ik| - 1 |^power

    Differences: the authors do not centre f (``centred=False``). Features are often all positive, with cosines near one
    positive value; codes can match these only if most bits are nearly the same for all images. The head has a hidden
    layer, trained by Adam with weight decay. The authors train one linear layer on frozen features of VGG-16 with SGD,
    60 epochs (300 for 16 bits), batches of 32 and lr 1e-4. Batches of odd size are allowed; their code excludes them.
    If the backbone is trained too, f are the features of its unchanged copy; the authors do not train it. The sign of 0
    is +1.

    Args:
        spec: The task.
        alpha: Weight of the penalty; the authors' value.
        power: Exponent of the penalty, at least 1.
        centred: Whether the mean of the training features is subtracted before cosines.
        hidden: Width of the head's hidden layer.

    Reference: S. Su, C. Zhang, K. Han, Y. Tian, "Greedy Hash: Towards Fast Optimization for Accurate Hash Coding in
    CNN", NeurIPS 2018.
    """

    supervision: ClassVar = "none"
    ema_decay = 1.0  # a trained backbone is compared with its unchanged copy
    mean: Tensor
    recipe = Recipe(epochs=20, batch_size=64, lr=3e-4, weight_decay=1e-3, min_steps=3750)

    def __init__(
        self, spec: Spec, *, alpha: float = 0.1, power: float = 3.0, centred: bool = True, hidden: int = 512
    ) -> None:
        super().__init__(spec)
        if alpha < 0 or power < 1 or hidden < 1:
            raise UsageError(
                f"alpha {alpha}, power {power} and hidden {hidden}: need alpha >= 0, power >= 1 and hidden >= 1"
            )
        self.alpha, self.power, self.centred = alpha, power, centred
        self.head = Mlp(spec.feature_dim, spec.bits, hidden=hidden)
        self.register_buffer("mean", torch.zeros(spec.feature_dim))

    def prepare(self, train: TrainView) -> None:
        """Compute the mean of the training features."""
        if self.centred:
            self.mean.copy_(torch.stack([chunk.double().sum(0) for chunk in train.chunks()]).sum(0) / len(train))

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the error of the cosines, and the penalty on values away from -1 and +1."""
        codes = straight_through(logits, signs(logits))
        return {
            "cosines": cosine_misfit(codes, batch.reference_features - self.mean),
            "penalty": self.alpha * quantization_error(logits, self.power),
        }
