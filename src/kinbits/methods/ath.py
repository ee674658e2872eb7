"""ATH: triplets and cross-entropy on a feature map whose positions are weighted by attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinbits.errors import DataError, UsageError
from kinbits.heads import SpatialAttention
from kinbits.methods.base import Batch, Method, Optimizer, Recipe, Spec, TrainView, full_precision
from kinbits.methods.blocks.groups import triplets
from kinbits.methods.registry import register


@register("ath")
class Ath(Method):
    """Pull classes together in triplets, and classify every member of a triplet.

    The map X ``(c, h, w)`` of an image is gated, a = sigmoid(conv3x3([mean_c X; max_c X])), X <- a X; a residual
    block and the mean over positions give a vector, and two parallel linear layers on it give the hash logits h
    ``(K,)`` and class logits t ``(C,)``. For triplets of anchor q, positive p and negative n::

        L_tri = mean of max(0, m - d(h_q, h_n) + d(h_q, h_p))
        L     = L_tri + w (CE(t_q, y_q) + CE(t_p, y_p) + CE(t_n, y_n))

    With ``distance="bits"``, d(a, b) = |tanh a - tanh b|^2 / 4, which for codes is the Hamming distance, and m is in
    bits. ``distance="paper"`` is the published form, d(a, b) = |a - b|^2 / K with m = K / 2. With more than 8 bits no
    codes can reach that margin, so it mainly makes the logits grow.

    An epoch makes every image an anchor once, with a positive of its class and a negative of any other, both drawn
    uniformly and anew each epoch. A class with one image gives negatives only. Unlabelled rows are not used.

    Differences: the paper trains a small network of its own, gated after its first block. Here the gate is on the last
    map of any backbone, and two narrow convolutions replace the blocks behind it. The three members of a triplet are in
    one batch, which affects batch normalisation. Triplets are drawn again in each epoch; ``resample=False`` draws them
    once, as the authors' code does. The weights of the last epoch are kept, or of the best one on a validation part;
    the authors keep those with the lowest training loss.

    Args:
        spec: The task.
        margin: m; 0 chooses K / 4 bits, or K / 2 in the published form.
        distance: Measure of the triplet loss.
        classification: Weight w; 0 leaves a plain triplet loss.
        attention: Whether positions are weighted.
        resample: Draw new triplets in each epoch.
        width: Channels behind the gate.

    Reference: J. Fang, H. Fu, J. Liu, "Deep Triplet Hashing Network for Case-based Medical Image Retrieval", Medical
    Image Analysis 69, 2021.
    """

    reads_maps = True
    multi_label = False
    recipe = Recipe(epochs=15, batch_size=96, lr=1e-3, min_steps=420)
    head: SpatialAttention

    def __init__(
        self,
        spec: Spec,
        *,
        margin: float = 0.0,
        distance: Literal["bits", "paper"] = "bits",
        classification: float = 1.0,
        attention: bool = True,
        resample: bool = True,
        width: int = 64,
    ) -> None:
        super().__init__(spec)
        if distance not in ("bits", "paper"):
            raise UsageError(f"distance is '{distance}'; use 'bits' or 'paper'")
        if margin < 0 or classification < 0 or width < 1 or (distance == "bits" and margin > spec.bits):
            raise UsageError(
                f"margin {margin}, classification {classification}, width {width}: need a margin from 0 to the "
                f"{spec.bits} bits of a code, classification >= 0, width >= 1"
            )
        self.margin = margin or spec.bits / (4 if distance == "bits" else 2)
        self.distance, self.classification, self.resample = distance, classification, resample
        self.head = SpatialAttention(spec.feature_dim, spec.bits, spec.require_map_shape(), width, attention)
        self.classes = nn.Linear(width, spec.classes)
        nn.init.xavier_normal_(self.classes.weight)

    def epoch_rows(self, epoch: int, train: TrainView) -> Tensor:
        """Draw the epoch's triplets, int64 ``(m, 3)``."""
        if train.labels is None:
            raise DataError("method 'ath' learns from labels, and the data have none")
        rng = train.rng if self.resample else self.spec.rng
        return torch.from_numpy(triplets(train.labels.cpu().numpy(), rng))

    def step(self, batch: Batch, optimizers: Sequence[Optimizer]) -> Mapping[str, Tensor]:
        """Train on one batch of triplets: one pass through the shared trunk feeds both branches."""
        vectors = self.head.vectors(batch.features)
        with full_precision(vectors):
            vectors = vectors.float()
            terms = {"triplet": self.hinge(self.head.logits(vectors))}
            if self.classification:
                # the mean over all rows, times the three members
                named = F.cross_entropy(self.classes(vectors), batch.require_labels())
                terms["classification"] = 3 * self.classification * named
        optimizers[0].minimise(torch.stack(list(terms.values())).sum())
        return terms

    def hinge(self, logits: Tensor) -> Tensor:
        """Return L_tri of logits ``(3 b, K)``: anchor, positive, negative, anchor, and so on."""
        values = torch.tanh(logits) if self.distance == "bits" else logits
        anchor, positive, negative = values.view(-1, 3, self.spec.bits).unbind(1)
        unit = 4 if self.distance == "bits" else self.spec.bits
        further = ((anchor - negative).square() - (anchor - positive).square()).sum(1) / unit
        return F.relu(self.margin - further).mean()
