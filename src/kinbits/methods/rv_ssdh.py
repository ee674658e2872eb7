"""RV-SSDH: local descriptors aggregated around random centres, then latent sigmoid bits and a classifier."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from kinbits.errors import DataError, unknown_name
from kinbits.heads import VladHead, descriptors
from kinbits.methods.base import Recipe, Spec, TrainView
from kinbits.methods.blocks.latent import LatentClassifier
from kinbits.methods.registry import register

SAMPLED, SAMPLED_PER_CENTRE = 100_000, 1_000
ALPHA = 5.0


@register("rv-ssdh")
class RvSsdh(LatentClassifier):
    """Aggregate a feature map around random centres, transform it, hash it, and classify from the bits.

    With x_i the descriptors at the h w places of a map, each of unit length, P centres c_k, and K sigmoid units::

        s_k(x) = softmax_k(w_k . x + b_k)           w_k = 2 alpha c_k and b_k = -alpha |c_k|^2 at the start
        V_k = sum_i s_k(x_i) (x_i - c_k)            (P, D), each row to unit length, then the whole
        a = sigmoid(W_2 relu(BatchNorm(W_1 V)))     bit = [a >= 1/2]
        E = cross-entropy(W_3 a, y) - beta mean (a - 1/2)^2

    ``centres="random"`` draws c_k as unit vectors, without data. ``centres="netvlad"`` is the alternative: c_k from
    k-means on sampled descriptors of the training images, and alpha so that the share of the nearest centre is 100
    times that of the second on average, alpha = -ln(0.01) / mean (d2^2 - d1^2).

    Partly a reconstruction, since only the abstract was available. From it: random centres, a transform layer, and a
    loss of classification and quantization. Our choices: the distribution of the centres, learned w, b and c
    (``trainable=False`` keeps them fixed), P = 8, the width of the transform, alpha = 5, and beta = 0.5 as in SSDH. The
    scores 2 alpha c . x of random centres have a deviation of 2 alpha / sqrt(D). So alpha = 5 starts with soft shares
    for maps with many channels.

    Args:
        spec: The task; its features must be maps.
        centres: ``"random"`` or ``"netvlad"``.
        clusters: Number P of centres, at least 2.
        alpha: Sharpness of the first assignment. 0 chooses 5, or a value from the data for ``"netvlad"``.
        trainable: Learn w, b and c.
        transform: Width of the transform layer.
        beta: Weight of the quantization term.

    References: L. Weng, L. Ye, J. Tian, J. Cao, J. Wang, "Random VLAD based Deep Hashing for Efficient Image
    Retrieval", arXiv 2002.02333, 2020; R. Arandjelovic, P. Gronat, A. Torii, T. Pajdla, J. Sivic, "NetVLAD", CVPR 2016.
    """

    reads_maps = True
    recipe = Recipe(epochs=10, batch_size=64, lr=1e-3, weight_decay=5e-4, schedule="step", min_steps=625)
    head: VladHead

    def __init__(
        self,
        spec: Spec,
        *,
        centres: Literal["random", "netvlad"] = "random",
        clusters: int = 8,
        alpha: float = 0.0,
        trainable: bool = True,
        transform: int = 256,
        beta: float = 0.5,
    ) -> None:
        super().__init__(spec, beta, 0.0)
        if centres not in ("random", "netvlad"):
            raise unknown_name("kind of centres", centres, ["random", "netvlad"])
        self.centres, self.alpha = centres, alpha
        self.head = VladHead(
            spec.feature_dim, spec.bits, spec.require_map_shape(), clusters, alpha or ALPHA, trainable, transform
        )

    def prepare(self, train: TrainView) -> None:
        """Cluster local descriptors for ``"netvlad"``; random centres need no pass over the data."""
        super().prepare(train)
        if self.centres == "random":
            return
        points = self._sample(train)
        centres, gap = k_means(points, len(self.head.vlad.centres), self.spec.seed)
        self.head.vlad.start(torch.from_numpy(centres), self.alpha or -np.log(0.01) / max(gap, 1e-6))

    @torch.no_grad()
    def _sample(self, train: TrainView) -> np.ndarray:
        """Return descriptors from all training images alike, float32 ``(m, D)``."""
        channels, height, width = self.spec.require_map_shape()
        wanted = min(SAMPLED, SAMPLED_PER_CENTRE * len(self.head.vlad.centres))
        share = min(1.0, wanted / (len(train) * height * width))
        parts: list[Tensor] = []
        for chunk in train.chunks():
            points = descriptors(self.head.standard(chunk)).reshape(-1, channels)
            chosen = train.rng.choice(len(points), max(1, round(share * len(points))), replace=False)
            parts.append(points[torch.from_numpy(chosen).to(points.device)].cpu())
        return torch.cat(parts).numpy()


def k_means(points: np.ndarray, clusters: int, seed: int) -> tuple[np.ndarray, float]:
    """Cluster points.

    Args:
        points: float32 ``(m, D)``.
        clusters: Number of clusters, at most m.
        seed: Seed of the first centres.

    Returns:
        The centres, float32 ``(clusters, D)``, and by how much the squared distance to the second nearest centre
        exceeds that to the nearest, on average.

    Raises:
        DataError: If there are fewer points than clusters.
    """
    import faiss

    if len(points) < clusters:
        raise DataError(f"{len(points)} local descriptors cannot form {clusters} clusters; lower clusters")
    most = SAMPLED_PER_CENTRE
    search = faiss.Kmeans(points.shape[1], clusters, seed=seed, min_points_per_centroid=1, max_points_per_centroid=most)
    search.train(points)
    squared, _ = search.index.search(points, 2)
    return np.asarray(search.centroids), float((squared[:, 1] - squared[:, 0]).mean())
