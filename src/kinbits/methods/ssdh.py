"""SSDH: bits are latent attributes, from which a linear classifier predicts the classes."""

from __future__ import annotations

from kinbits.heads import Linear
from kinbits.methods.base import Recipe, Spec
from kinbits.methods.blocks.latent import LatentClassifier
from kinbits.methods.registry import register


@register("ssdh")
class Ssdh(LatentClassifier):
    """Classify from K sigmoid units, drive them to 0 or 1, and keep half of them active.

    With z the logits, a = sigmoid(z) the latent activations ``(b, K)``, W ``(C, K)`` and the bit [a >= 1/2]::

        E1 = mean_i cross-entropy(W a_i, y_i)      several labels: sum over labels of the binary cross-entropy
        E2 = mean_ik (a_ik - 1/2)^2                to be large: activations far from 1/2
        E3 = mean_i (mean_k a_ik - 1/2)^2          to be small: half of an image's bits are 1
        E  = E1 - beta E2 + gamma E3

    The gradient of E2 vanishes at a = 1/2, so E1 chooses the side. E3 balances the bits of one image; a bit can still
    be the same for all images.

    Differences: in the paper all three terms have weight 1. The authors' layers have a factor 1/2 in E2 and E3, which
    is the default here, beta = gamma = 0.5. E1 has no weight, since only ratios matter to the optimizer. The classifier
    has the learning rate of the hash layer; the authors use ten times that rate. For sets of labels it starts from the
    log-odds of each label; otherwise rare labels are learned too late. Unlabelled rows are left out. The recipe is for
    a head on frozen features. The authors fine-tune AlexNet or VGG by SGD for 50,000 steps of 32 images.

    Args:
        spec: The task.
        beta: Weight of E2, at least 0. Far above 1, activations saturate before the classes are separated.
        gamma: Weight of E3, at least 0.

    Reference: H.-F. Yang, K. Lin, C.-S. Chen, "Supervised Learning of Semantics-Preserving Hash via Deep Convolutional
    Neural Networks", TPAMI 2018.
    """

    standalone_loss = True
    recipe = Recipe(
        epochs=20,
        batch_size=128,
        lr=1e-3,
        optimizer="adamw",
        weight_decay=1.0,
        backbone_weight_decay=5e-4,
        schedule="step",
        min_steps=1250,
    )

    def __init__(self, spec: Spec, *, beta: float = 0.5, gamma: float = 0.5) -> None:
        super().__init__(spec, beta, gamma)
        self.head = Linear(spec.feature_dim, spec.bits, std=0.01)
