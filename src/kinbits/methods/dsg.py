"""DSG: pairs weighted by the confidence of their distance, without those that clusters contradict."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from kinbits._util import check_at_least
from kinbits.errors import UsageError
from kinbits.heads import Linear, Mlp
from kinbits.methods.base import Batch, Method, Recipe, Spec, TrainView
from kinbits.methods.blocks.clusters import Kind, cluster_rows
from kinbits.methods.blocks.distances import FeatureDistances, SplitNormal
from kinbits.methods.registry import register

FEW, MANY = 0.005, 0.15


@register("dsg")
class Dsg(Method):
    """Fit inner products of codes to near and far pairs; confident pairs weigh more, contradicted ones 0.

    With d_ij the cosine distance of the features before training, c_i the cluster of row i, h = tanh of the
    logits, and pairs (i, j) of the batch, each row with itself included::

        L = mean W_ij (h_i . h_j / K - S_ij)^2             S_ij = +1 if d_ij <= t, else -1
        W_ij = a_ij^confidence [c_i = c_j] for S_ij = +1, a_ij^confidence [c_i != c_j] for S_ij = -1; W_ii = 1
        a_ij = (P_l(t) - P_l(d)) / (P_l(t) - P_l(0)) if d <= t, else (P_r(d) - P_r(t)) / (P_r(2) - P_r(t))

    P_l and P_r are normal distribution functions around the mode m of all distances. Their deviations s_l and s_r are
    those of the distances below and above m, mirrored. S and W are computed for each batch from the features, the
    clusters and t, m, s_l, s_r. These four come from all pairs of at most 5,000 rows, which the seed draws.

    Partly a reconstruction, since the paper's own code and numbers were not available. The equations are those of its
    group's shared code (CIMON), which matches the paper's abstract. The clustering, t and the number of clusters are
    our choice.

    Args:
        spec: The task.
        threshold: t; 0 takes the distance that makes ``positives`` of the pairs similar. The group's code uses
            0.1, which fits VGG16 features only.
        positives: Share of similar pairs, before the clusters remove some.
        clusters: Number of clusters. 0 chooses 70, as the group's code for CIFAR-10, but at least 20 rows per cluster.
        clustering: ``"kmeans"``, or ``"spectral"`` as in CIMON, see `cluster_rows`.
        centre: Subtract the mean of the features before distances. The group uses features before a ReLU, which have
            both signs. Many backbones give positive features, and their centred neighbours are purer.
        confidence: Power of a in the weights. With 0 all kept pairs have the same weight, which was best. The published
            1 gives pairs just beyond t no weight, and was below ITQ in our trials.
        distill: Leave out pairs that the clusters contradict.
        exact: P_l(0) and P_r(2) as written; the group's code puts 0 and 1 and cuts at 1.
        hidden: Width of a hidden layer in the head; 0 for the group's single layer.

    Reference: X. Luo, Z. Ma, D. Wu, H. Zhong, C. Chen, J. Ma, M. Deng, "Deep Unsupervised Hashing by Distilled
    Smooth Guidance", ICME 2021.
    """

    supervision: ClassVar = "none"
    recipe = Recipe(epochs=60, batch_size=96, lr=3e-4, min_steps=2500)
    cluster_of: Tensor
    shape: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        threshold: float = 0.0,
        positives: float = 0.05,
        clusters: int = 0,
        clustering: Kind = "kmeans",
        centre: bool = True,
        confidence: float = 0.0,
        distill: bool = True,
        exact: bool = True,
        hidden: int = 0,
    ) -> None:
        super().__init__(spec)
        check_at_least(0, clusters=clusters, confidence=confidence, hidden=hidden)
        if not 0 <= threshold < 2:
            raise UsageError(f"threshold is {threshold}; it must be at least 0 and less than 2")
        if not 0 < positives < 1:
            raise UsageError(f"positives is {positives}; it is a share of the pairs, between 0 and 1")
        if clustering not in ("kmeans", "spectral"):
            raise UsageError(f"clustering is '{clustering}'; use kmeans or spectral")
        self.threshold, self.positives, self.clusters, self.clustering = threshold, positives, clusters, clustering
        self.confidence, self.distill, self.exact = confidence, distill, exact
        wide = spec.feature_dim, spec.bits
        self.head = Mlp(*wide, hidden=hidden) if hidden else Linear(*wide)
        self.distances = FeatureDistances(spec.feature_dim, centre=centre)
        self.register_buffer("cluster_of", torch.zeros(spec.n_train, dtype=torch.int64))
        self.register_buffer("shape", torch.zeros(4, dtype=torch.float64))

    def prepare(self, train: TrainView) -> None:
        """Measure the distances and find the clusters."""
        self.distances.prepare(train)
        some = self.distances.sample(train, self.spec.rng)
        t = self.threshold or float(some.kthvalue(max(1, round(self.positives * len(some)))).values)
        share = float((some <= t).float().mean())
        if not FEW <= share <= MANY:
            warnings.warn(
                f"{share:.2%} of the pairs are similar at threshold {t:.3f}; 3 to 6 % are best: set positives=0.05 "
                f"and leave threshold out",
                stacklevel=2,
            )
        bell = SplitNormal.fit(some)
        self.shape.copy_(torch.tensor([t, bell.mode, bell.left, bell.right]))
        if self.distill:
            count = self.clusters or max(2, min(70, len(train) // 20))
            found = cluster_rows(
                lambda rows: self.distances.units(train, rows), len(train), count, self.clustering, self.spec.rng
            )
            self.cluster_of.copy_(torch.from_numpy(found))

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the weighted fit of the inner products."""
        if not self.shape.any():
            raise UsageError("method 'dsg' needs distances and clusters; call prepare first")
        signs, weights = self.guidance(self.distances.among(batch), self.cluster_of[batch.rows])
        codes = torch.tanh(logits)
        return {"priority": (weights * (codes @ codes.T / self.spec.bits - signs).square()).mean()}

    def guidance(self, distances: Tensor, clusters: Tensor) -> tuple[Tensor, Tensor]:
        """Return S and W of some rows, float ``(b, b)`` each, from their distances ``(b, b)`` and clusters ``(b,)``."""
        t, *bell = self.shape.tolist()
        near = distances <= t
        signs = near.float() * 2 - 1
        weights = SplitNormal(*bell).confidence(distances, t, exact=self.exact) ** self.confidence
        if self.distill:
            weights = weights * (near == (clusters[:, None] == clusters))
        return signs.fill_diagonal_(1), weights.fill_diagonal_(1)
