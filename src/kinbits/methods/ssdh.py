"""SSDH: bits are the latent attributes from which a linear classifier tells the classes."""

from __future__ import annotations

from kinbits.heads import Linear
from kinbits.methods.base import Recipe, Spec
from kinbits.methods.blocks.latent import LatentClassifier
from kinbits.methods.registry import register


@register("ssdh")
class Ssdh(LatentClassifier):
    """Classify from K sigmoid units, drive them to 0 or 1, and let half of them fire.

    With z the logits, a = sigmoid(z) the latent activations ``(b, K)``, W ``(C, K)`` and the bit [a >= 1/2]::

        E1 = mean_i cross-entropy(W a_i, y_i)      several labels: sum over labels of the binary cross-entropy
        E2 = mean_ik (a_ik - 1/2)^2                wanted large: activations far from 1/2
        E3 = mean_i (mean_k a_ik - 1/2)^2          wanted small: half of an image's bits are 1
        E  = E1 - beta E2 + gamma E3

    The gradient of E2 vanishes at a = 1/2, so it cannot choose a side; E1 does. E3 is about the bits of one
    image: it does not keep one bit from being the same for all images.

    Differences: the paper weighs all three terms by 1; the authors' layers put a factor 1/2 into E2 and E3, which is
    the default here, beta = gamma = 0.5. Only the ratios of the weights matter to the optimizer, so E1 has none. The
    classifier learns at the same rate as the hash layer, not at ten times it; for sets of labels it starts from the
    log-odds of each label, without which rare labels are learned too late. Unlabelled rows take no part. The recipe
    suits a head on frozen features; the authors fine-tune AlexNet or VGG by SGD for 50,000 steps of 32 images.

    Args:
        spec: The task.
        beta: Weight of E2, at least 0. Far above 1 the activations saturate before the classes are told apart.
        gamma: Weight of E3, at least 0.

    Reference: H.-F. Yang, K. Lin, C.-S. Chen, "Supervised Learning of Semantics-Preserving Hash via Deep Convolutional
    Neural Networks", TPAMI 2018.
    """

    standalone_loss = True
    recipe = Recipe(epochs=20, batch_size=128, lr=1e-3, weight_decay=5e-4, schedule="step")

    def __init__(self, spec: Spec, *, beta: float = 0.5, gamma: float = 0.5) -> None:
        super().__init__(spec, beta, gamma)
        self.head = Linear(spec.feature_dim, spec.bits, std=0.01)
