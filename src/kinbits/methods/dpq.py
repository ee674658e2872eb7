"""DPQ: classify from what product codes stand for, softly and strictly."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinbits.errors import UsageError
from kinbits.heads import LogitProductHead
from kinbits.methods.base import Batch, Method, Recipe, Spec
from kinbits.methods.blocks.binary import straight_through
from kinbits.methods.blocks.classifier import label_cross_entropy
from kinbits.methods.blocks.labels import labelled
from kinbits.methods.registry import register


@register("dpq")
class Dpq(Method):
    """Learn words, and maps that choose among them, so that one classifier reads mixtures and single words alike.

    With x_m part m of M of the head's output, A_m a map to K logits, C_m a codebook, W a classifier, O_y a centre of
    each class, y the class, and [..] joining the parts::

        p_m = softmax(x_m A_m)      s = [p_m C_m]      c_m = argmax_k p_mk      h = [C_mc_m]
        L = mean_i CE(W s_i, y_i) + CE(W h_i, y_i) + centre / 2 (|s_i - O_y_i|^2 + |h_i - O_y_i|^2)
            + balance sum_mk (mean_i p_imk)^2 - certainty mean_i sum_mk p_imk^2

    The gradient of h is passed straight to p. The last two terms are Gini impurities: words should be used equally
    often, but each image should be certain of its own. Codes are c; a query is ranked by the squared distances of its s
    to the words (asymmetric distance).

    Differences: weights of the terms are for small heads; a port for faces uses 0.25, 1 and 0.01. A public port cuts
    the gradient of h before p; here it passes, as in the paper. A and C start as normal values of deviation 0.3: with
    1, the squares of the centre term outweigh the classifier. The head is one linear layer, or two with ``hidden``. W
    has no bias. Images without a label have only the last two terms.

    Args:
        spec: The task.
        words: K, 16 or 256: 4 or 8 bits a part.
        width: Length of a part.
        hidden: Width of a hidden layer; 0 for none.
        centre: Weight of the distance to the centre of the class.
        balance: Weight of the squared mean use of words.
        certainty: Weight of the squared probabilities of each image.

    Reference: B. Klein, L. Wolf, "End-to-End Supervised Product Quantization for Image Search and Retrieval", CVPR
    2019.
    """

    multi_label = False
    recipe = Recipe(epochs=16, batch_size=64, lr=1e-3, optimizer="adamw", weight_decay=1.0, min_steps=1250)
    head: LogitProductHead

    def __init__(
        self,
        spec: Spec,
        *,
        words: int = 256,
        width: int = 16,
        hidden: int = 0,
        centre: float = 0.1,
        balance: float = 0.1,
        certainty: float = 0.01,
    ) -> None:
        super().__init__(spec)
        if min(centre, balance, certainty) < 0:
            raise UsageError(f"centre {centre}, balance {balance}, certainty {certainty}: need weights >= 0")
        self.centre, self.balance, self.certainty = centre, balance, certainty
        self.head = LogitProductHead(spec.feature_dim, spec.bits, words, width, hidden=hidden)
        shape = spec.classes, self.head.outputs
        self.classifier = nn.Parameter(nn.init.xavier_uniform_(torch.empty(shape)))
        self.centres = nn.Parameter(nn.init.xavier_uniform_(torch.empty(shape)))

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the five terms; those on classes are means over labelled images.

        Args:
            batch: The rows of this step.
            logits: The head's output x, float ``(b, D)``.
        """
        p = self.head.scores(logits).softmax(2)
        chosen = F.one_hot(p.argmax(2), p.shape[2]).to(p)
        soft, hard = self.head.mix(p), self.head.mix(straight_through(p, chosen))
        known = labelled(batch.require_labels())
        labels = batch.require_labels()[known]
        own = self.centres[labels]
        apart = (soft[known] - own).square().sum() + (hard[known] - own).square().sum()
        return {
            "soft": label_cross_entropy(soft[known] @ self.classifier.T, labels),
            "hard": label_cross_entropy(hard[known] @ self.classifier.T, labels),
            "centre": self.centre / 2 * apart / max(len(labels), 1),
            "balance": self.balance * p.mean(0).square().sum(),
            "certainty": -self.certainty * p.square().sum((1, 2)).mean(),
        }
