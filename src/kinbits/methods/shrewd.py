"""SHREWD: distances of codes follow semantic distances of labels, and codes are uniform on the cube."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinbits.errors import UsageError
from kinbits.heads import Linear
from kinbits.methods.base import Batch, Method, Recipe, Spec
from kinbits.methods.blocks.labels import labelled
from kinbits.methods.blocks.semantic import label_distances
from kinbits.methods.registry import register

TINY = 1e-8


@register("shrewd")
class Shrewd(Method):
    """Match the ratios of code distances in a batch to those of the labels' semantic distances.

    With z = sigmoid(logits) in [0, 1]^K, d_z(i, j) = sum_k |z_ik - z_jk|, d_y the semantic distance of the labels, and
    tau the mean of d over the pairs i != j of the batch::

        L_sim = mean_{i != j} w_ij |d_z(i, j) / tau_z - d_y(i, j) / tau_y|
        w_ij  = gamma^rho / (gamma + d_y(i, j) / tau_y)^rho, then divided by its mean
        L_KL  = mean_{b, k' <= k} log nu_k'(z_b; z_ref) - log nu_k'(z_b; z without z_b)
        L     = L_sim + lambda_KL L_KL + lambda_cls cross-entropy

    nu_k(x; R) is the Euclidean distance from x to its k-th nearest row of R, and z_ref is drawn anew in each step, as
    many rows as the batch has, from Beta(alpha, alpha): L_KL estimates the divergence from a distribution
    on the corners of the cube, all equally likely, up to a factor and a constant. Only ratios of distances count, so
    the distances of labels have no unit. With lambda_cls = 0 the loss uses only distances of labels, not the classes.

    The distance of two labels is 1 - similarity in the hierarchy, see `LabelSpace.class_similarity`, or 1 - cosine of
    given embeddings. The distance of two sets of labels is the mean distance of their labels.

    Partly a reconstruction, since no code was published. From the abstracts: the relative distances, the estimator and
    the three terms. From memory: tau as batch means, the Manhattan distance, w, gamma, rho and alpha. Our choices: the
    mean of w (without it L_KL dominates L_sim), the weights of the terms, the recipe, 1 - cosine, and distances of
    sets. The estimator is the first author's public one, with k = 1 as in the paper.

    Args:
        spec: The task.
        kl: lambda_KL; from 0.3 on, images of one class scatter.
        classification: lambda_cls, for a linear classifier on z that is dropped after training.
        gamma: Relative distance from which w falls.
        rho: Steepness of that fall; with 0 all pairs have the same weight.
        alpha: Parameter of the reference distribution; small values are near the corners.
        neighbours: Number k of neighbours, 1 to 16.
        embeddings: Path of a .npy file with one row per class, float ``(C, e)``; empty: the hierarchy is used.

    Reference: H. Arponen, T. E. Bishop, "SHREWD: Semantic Hierarchy-based Relational Embeddings for Weakly-supervised
    Deep Hashing", ICLR 2019 workshop LLD; "Learning to hash with semantic similarity metrics and empirical KL
    divergence", 2020.
    """

    reads_hierarchy = True
    standalone_loss = True
    recipe = Recipe(epochs=40, batch_size=128, lr=3e-3, weight_decay=5e-4, schedule="cosine", min_steps=1250)
    distances: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        kl: float = 0.1,
        classification: float = 0.0,
        gamma: float = 0.1,
        rho: float = 2.0,
        alpha: float = 0.1,
        neighbours: int = 1,
        embeddings: str = "",
    ) -> None:
        super().__init__(spec)
        if min(kl, classification, rho) < 0 or min(gamma, alpha) <= 0 or not 1 <= neighbours <= 16:
            raise UsageError(
                f"kl {kl}, classification {classification}, rho {rho}, gamma {gamma}, alpha {alpha}, neighbours "
                f"{neighbours}: need the first three >= 0, gamma and alpha > 0, neighbours 1 to 16"
            )
        self.kl, self.classification, self.gamma, self.rho, self.alpha = kl, classification, gamma, rho, alpha
        self.neighbours = neighbours
        self.head = Linear(spec.feature_dim, spec.bits)
        self.classifier = nn.Linear(spec.bits, spec.classes) if classification else None
        table = label_distances(spec.label_space, embeddings)
        self.register_buffer("distances", torch.from_numpy(table.astype(np.float32)))

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the terms over the labelled images of the batch."""
        known = labelled(batch.require_labels())
        z, labels = torch.sigmoid(logits[known]), batch.require_labels()[known]
        if len(z) <= self.neighbours + 1:  # no k-th neighbour
            return {"similarity": 0 * logits.sum()}
        terms = {"similarity": self._similarity(z, self._apart(labels))}
        if self.kl:
            reference = torch.distributions.Beta(self.alpha, self.alpha).sample(z.shape).to(z)
            terms["kl"] = self.kl * divergence(z, reference, self.neighbours)
        if self.classifier is not None:
            shares = labels / labels.sum(1, keepdim=True) if labels.ndim == 2 else labels
            terms["classes"] = self.classification * F.cross_entropy(self.classifier(z), shares)
        return terms

    def _apart(self, labels: Tensor) -> Tensor:
        """Return the semantic distance of each pair, float ``(b, b)``."""
        if labels.ndim == 1:
            return self.distances[labels][:, labels]
        shares = labels.float() / labels.sum(1, keepdim=True)
        return shares @ self.distances @ shares.T

    def _similarity(self, z: Tensor, apart: Tensor) -> Tensor:
        other = 1 - torch.eye(len(z), device=z.device)
        pairs = other.sum()
        target_scale = (apart * other).sum() / pairs
        if target_scale < TINY:  # labels that do not differ have no ratios
            return 0 * z.sum()
        found, target = torch.cdist(z, z, p=1.0), apart / target_scale
        weights = other * (self.gamma / (self.gamma + target)) ** self.rho
        scale = ((found * other).sum() / pairs).clamp_min(TINY)
        return (weights * (found / scale - target).abs()).sum() / weights.sum()


def divergence(z: Tensor, reference: Tensor, neighbours: int) -> Tensor:
    """Estimate the divergence of the distribution of z from that of the reference, by nearest neighbours.

    Args:
        z: float ``(b, K)``, more than ``neighbours`` + 1 rows.
        reference: float ``(m, K)``.
        neighbours: Number k; the result is a mean over the first k.

    Returns:
        Mean log ratio of distances; the factor K and the constant of the estimator are left out.
    """
    across = _squares(z, reference)
    within = _squares(z, z) + torch.diag(torch.full((len(z),), torch.inf, device=z.device))
    far, near = (d.topk(neighbours, largest=False).values.clamp(TINY, 1 / TINY).sqrt() for d in (across, within))
    return (torch.log(far + TINY) - torch.log(near + TINY)).mean()


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """Return squared distances by differences: their gradient is finite where two rows are equal."""
    return (a[:, None] - b[None]).square().sum(2)
