"""OrthoHash: one cosine loss to fixed orthogonal binary targets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from kinbits.errors import UsageError
from kinbits.heads import LinearBatchNorm
from kinbits.methods.base import Batch, Method, Recipe, Spec
from kinbits.methods.blocks.binary import signs
from kinbits.methods.blocks.targets import binary_targets
from kinbits.methods.registry import register


@register("orthohash")
class OrthoHash(Method):
    """Pull each code towards the fixed random target of its class, by a scaled cosine softmax with a margin.

    With v the logits ``(K,)``, o_i = target of class i in {-1, +1}^K, s the scale, m the margin and y the
    class::

        z_i = s (cos(v, o_i) - m [i = y])        L = mean of -log softmax(z)_y

    Several labels share the target mass evenly: L = mean of sum_i -(Y_i / sum_j Y_j) log softmax(z)_i.
    ``angular=True`` puts the margin on the angle instead: z_y = s cos(arccos(cos(v, o_y)) + m).
    Since ``|v - sign v|^2 = 2K (1 - cos(v, sign v))`` for v of norm sqrt(K), the same loss quantizes; batch
    normalisation behind the linear layer balances the bits.

    Differences: the authors' code uses s = 8 for every K, and divides by the plain norm. Here s defaults to
    sqrt(2 ln(C - 1)), which the paper's supplement finds safer, and norms have an epsilon. The loss ignores rows
    without a label. The recipe is for a head on frozen features, where more epochs overfit. The paper trains a whole
    network for 100 epochs.

    Args:
        spec: The task.
        scale: s > 0; 0 chooses sqrt(2 ln(C - 1)), at least 2.
        margin: m, 0 <= m < C / (C - 1).
        angular: Use the angular margin ("OrthoArc").
        targets: How targets are drawn, see `binary_targets`.
        quantization: Weight of 1 - cos(v, sign v), 0 in the paper.

    Reference: J. T. Hoe, K. W. Ng, T. Zhang, C. S. Chan, Y.-Z. Song, T. Xiang, "One Loss for All: Deep
    Hashing with a Single Cosine Similarity based Learning Objective", NeurIPS 2021, eq. 4.
    """

    standalone_loss = True
    recipe = Recipe(epochs=5, batch_size=256, lr=1e-3, weight_decay=5e-4, schedule="step", min_steps=156)
    targets: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        scale: float = 0.0,
        margin: float = 0.2,
        angular: bool = False,
        targets: Literal["auto", "bernoulli", "maxhd", "hadamard"] = "auto",
        quantization: float = 0.0,
    ) -> None:
        super().__init__(spec)
        if scale < 0 or not 0 <= margin < spec.classes / max(spec.classes - 1, 1):
            raise UsageError(f"scale {scale} and margin {margin}: need scale >= 0 and 0 <= margin < C / (C - 1)")
        self.scale = scale or max(2.0, math.sqrt(2 * math.log(max(spec.classes - 1, 2))))
        self.margin, self.angular, self.quantization = margin, angular, quantization
        self.head = LinearBatchNorm(spec.feature_dim, spec.bits)
        drawn = binary_targets(spec.classes, spec.bits, spec.rng, kind=targets)
        self.register_buffer("targets", torch.from_numpy(drawn).float())

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the softmax term, and the quantization term if its weight is not 0."""
        labels = self._multi_hot(batch.require_labels())
        cosine = F.normalize(logits.float(), dim=1) @ F.normalize(self.targets, dim=1).T
        present = (labels > 0).float()
        if self.angular:
            angle = torch.arccos(cosine.clamp(-0.99999, 0.99999))
            scores = torch.cos(angle + self.margin * present)
        else:
            scores = cosine - self.margin * present
        share = labels / labels.sum(1, keepdim=True).clamp_min(1)
        each = -(share * F.log_softmax(self.scale * scores, dim=1)).sum(1)
        terms = {"softmax": each.sum() / present.any(1).sum().clamp_min(1)}
        if self.quantization:
            terms["quantization"] = self.quantization * (1 - F.cosine_similarity(logits, signs(logits))).mean()
        return terms

    def _multi_hot(self, labels: Tensor) -> Tensor:
        """Return the labels as float multi-hot ``(b, C)``; a row of zeros for an unlabelled image."""
        if labels.ndim == 2:
            return labels.float()
        known = (labels >= 0).float()[:, None]
        return F.one_hot(labels.clamp_min(0), self.spec.classes).float() * known
