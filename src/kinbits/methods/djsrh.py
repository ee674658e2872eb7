"""DJSRH: codes whose cosines reconstruct a joint similarity of images and texts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from kinbits._util import Modality
from kinbits.errors import UsageError
from kinbits.heads import Head, Linear, Mlp
from kinbits.methods.base import Batch, Method, Recipe, Spec, TrainView
from kinbits.methods.blocks.labels import has_text
from kinbits.methods.registry import register

RANGES = ("auto", "nonnegative", "signed")


@register("djsrh")
class Djsrh(Method):
    """Fit cosines of codes, within and across modalities, to one joint matrix of similarities.

    For the m pairs of a batch, with S_I and S_T the similarities of their image and of their text features in
    [-1, 1], ``(m, m)``, H = tanh(alpha z), alpha = sqrt(epoch + 1), and means over all m^2 entries::

        S~ = beta S_I + (1 - beta) S_T            S = (1 - eta) S~ + eta S~ S~^T / m
        L = mean (cos(H_I, H_T) - mu S)^2 + lam mean (cos(H_I, H_I) - mu S)^2 + lam mean (cos(H_T, H_T) - mu S)^2

    S~ S~^T compares whole rows of S~: neighbours of neighbours.

    Differences: the paper's S_I = 2 cos - 1 is for features that are never negative, e.g. after a ReLU. For others, S_I
    is the cosine itself (``feature_range``); the same holds for texts. One Adam replaces two SGD optimizers. A smaller
    last batch is divided by its own size. If the backbone is trained too, its frozen first state gives the image
    features of S, as a second network does in the paper. Pairs whose text vector is zero have no text, and are left
    out of their batch.

    Args:
        spec: The task, with text.
        beta: Share of the images in S~.
        eta: Share of the second order.
        mu: Scale of the target; above 1 it pushes codes towards -1 and +1. The paper's 1.5 is for features that are
            never negative. Centred features have a small second order, which 2.5 compensates.
        lam: Weight of each fit within a modality.
        anneal: Let alpha grow; otherwise it is 1.
        centred: Subtract the training mean of the features before cosines.
        feature_range: ``"nonnegative"`` for 2 cos - 1, ``"signed"`` for cos; ``"auto"`` looks at each modality.
        hidden: Width of the text tower's hidden layer; 4096 in the paper.

    Reference: S. Su, Z. Zhong, C. Zhang, "Deep Joint-Semantics Reconstructing Hashing for Large-Scale Unsupervised
    Cross-Modal Retrieval", ICCV 2019.
    """

    supervision: ClassVar = "none"
    reads_text: ClassVar[bool] = True
    recipe = Recipe(epochs=40, batch_size=64, lr=1e-3, min_steps=3750)
    ema_decay = 1.0
    image_mean: Tensor
    text_mean: Tensor
    signed: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        beta: float = 0.5,
        eta: float = 0.4,
        mu: float = 2.5,
        lam: float = 0.1,
        anneal: bool = True,
        centred: bool = True,
        feature_range: Literal["auto", "nonnegative", "signed"] = "auto",
        hidden: int = 512,
    ) -> None:
        super().__init__(spec)
        if not (0 <= beta <= 1 and 0 <= eta <= 1) or mu <= 0 or lam < 0 or hidden < 1:
            raise UsageError(
                f"need beta and eta in 0 to 1, mu > 0, lam >= 0 and hidden >= 1; given {beta}, {eta}, {mu}, {lam} and "
                f"{hidden}"
            )
        if feature_range not in RANGES:
            raise UsageError(f"feature_range is '{feature_range}'; use one of {', '.join(RANGES)}")
        self.beta, self.eta, self.mu, self.lam, self.anneal = beta, eta, mu, lam, anneal
        self.centred, self.feature_range = centred, feature_range
        self.head: Head = Linear(spec.feature_dim, spec.bits)
        self.text_head = Mlp(spec.require_text_dim(), spec.bits, hidden=hidden)
        self.alpha = 1.0
        self.register_buffer("image_mean", torch.zeros(spec.feature_dim))
        self.register_buffer("text_mean", torch.zeros(spec.require_text_dim()))
        self.register_buffer("signed", torch.ones(2, dtype=torch.bool))

    def prepare(self, train: TrainView) -> None:
        """Compute the means of the features, and whether any feature is negative."""
        modalities: tuple[Modality, ...] = ("image", "text")
        for place, (modality, mean) in enumerate(zip(modalities, (self.image_mean, self.text_mean), strict=True)):
            count, total, negative = 0, torch.zeros_like(mean, dtype=torch.float64), False
            for chunk in train.chunks(modality):
                chunk = chunk[has_text(chunk)] if modality == "text" else chunk
                count, total = count + len(chunk), total + chunk.double().sum(0)
                negative = negative or bool((chunk < 0).any())
            if self.centred:
                mean.copy_(total / max(count, 1))
            known = {"signed": True, "nonnegative": False}
            self.signed[place] = known.get(self.feature_range, negative or self.centred)

    def start_epoch(self, epoch: int, train: TrainView) -> None:
        """Set the slope of the tanh."""
        self.alpha = math.sqrt(epoch + 1) if self.anneal else 1.0

    def loss(self, batch: Batch, logits: Tensor) -> Mapping[str, Tensor]:
        """Return the fit across modalities and the two within."""
        present = has_text(batch.require_texts())
        captions = batch.require_texts()[present]
        if not len(captions):
            return {"across": 0 * logits.sum()}
        target = self.mu * self.joint(batch.reference_features[present], captions)
        images, texts = (
            F.normalize(torch.tanh(self.alpha * z), dim=1) for z in (logits[present], self.text_head(captions))
        )
        return {
            "across": (images @ texts.T - target).square().mean(),
            "images": self.lam * (images @ images.T - target).square().mean(),
            "texts": self.lam * (texts @ texts.T - target).square().mean(),
        }

    def joint(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return S of feature vectors ``(m, d)`` and ``(m, t)``, float ``(m, m)``."""
        parts = (images - self.image_mean, texts - self.text_mean)
        one, two = (self._likeness(part, bool(signed)) for part, signed in zip(parts, self.signed, strict=True))
        mixed = self.beta * one + (1 - self.beta) * two
        return (1 - self.eta) * mixed + self.eta * mixed @ mixed.T / len(mixed)

    @staticmethod
    def _likeness(features: Tensor, signed: bool) -> Tensor:
        unit = F.normalize(features, dim=1)
        cosine = unit @ unit.T
        return cosine if signed else 2 * cosine - 1
