"""SHC: hash centres that are close for related classes, learned from the confusions of a classifier."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinbits.errors import DataError, UsageError
from kinbits.methods.base import Recipe, Spec, TrainView
from kinbits.methods.blocks.semantic import MOST_CLASSES, semantic_centres
from kinbits.methods.csq import Csq
from kinbits.methods.registry import register

CHUNK = 4096


@register("shc")
class Shc(Csq):
    """Learn which classes are similar, choose hash centres accordingly, then train as CSQ does.

    1. A linear classifier learns the labels by cross-entropy. Of each training image, the logit of its class is set to
       -inf; P_c is the mean of the remaining softmax over the images of class c. With mu_c the mean of row c::

           S'_cj = (P_cj - mu_c) / max_j |P_cj - mu_c|        S = (S' + S'^T) / 2,  S_cc = 1

    2. Centres H in {-1, +1}^(C x K) minimise sum_ij (S_ij - h_i . h_j / K)^2, with at least d bits between every
       two, see `kinbits.methods.semantic_centres`.
    3. The loss of `csq` with these centres.

    Differences: the paper trains a second network as the classifier. Here it is one linear layer on the features before
    the first epoch, so that stages 1 and 2 take no epochs of training. A backbone that is trained should start from
    pretrained weights. The authors' code masks the true class (``mask="true"``). According to a re-implementation, the
    paper masks the predicted one. For P, the authors' code uses a sum, which depends on class sizes, and passes a
    softmax to the cross-entropy. Both are corrected here. Stage 2 is an exact descent instead of an augmented
    Lagrangian. An image with several labels counts once for each in stage 1, and has the majority of their centres in
    stage 3.

    Args:
        spec: The task.
        distance: d; -1 chooses it from C and K, and 0 allows equal centres.
        mask: Which logit stage 1 leaves out.
        restarts: Number of restarts of the search for centres.
        classifier_epochs: Passes over the training features in stage 1.
        quantization: Weight of csq's quantization term.

    Reference: L. Chen, R. Liu, Y. Zhou, X. Ma, Y. Chen, D. Zhang, "Deep Hashing with Semantic Hash Centers for Image
    Retrieval", ACM TOIS 2025.
    """

    recipe = Recipe(
        epochs=30,
        batch_size=64,
        lr=1e-3,
        optimizer="adamw",
        weight_decay=1.0,
        backbone_weight_decay=5e-4,
        schedule="cosine",
        min_steps=3750,
    )
    standalone_loss = False  # the centres come from a classifier of the features
    similarity: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        distance: int = -1,
        mask: Literal["true", "predicted"] = "true",
        restarts: int = 4,
        classifier_epochs: int = 20,
        quantization: float = 1e-4,
    ) -> None:
        if not 2 <= spec.classes <= MOST_CLASSES:
            raise UsageError(f"{spec.classes} classes: shc compares every two, give 2 to {MOST_CLASSES}; or use csq")
        super().__init__(spec, quantization=quantization)
        if (
            not -1 <= distance <= spec.bits
            or restarts < 1
            or classifier_epochs < 1
            or mask not in ("true", "predicted")
        ):
            raise UsageError(
                f"distance {distance}, restarts {restarts}, classifier_epochs {classifier_epochs}, mask '{mask}': need "
                f"-1 to {spec.bits}, >= 1, >= 1, and true or predicted"
            )
        self.distance, self.mask, self.restarts, self.passes = distance, mask, restarts, classifier_epochs
        self.register_buffer("similarity", torch.eye(spec.classes))

    def prepare(self, train: TrainView) -> None:
        """Run stages 1 and 2; the classifier needs the features of all rows at once, 4nd bytes."""
        if train.labels is None:
            raise DataError("method 'shc' learns from labels, and the training set has none")
        logits = _classified(train.features(), train.labels, self.spec.classes, self.passes)
        confused, counts = confusion(logits, train.labels, self.mask)
        if not counts.all():
            names = (
                [self.spec.label_space.names[c] for c in (counts == 0).nonzero()[:, 0]] if self.spec.label_space else []
            )
            raise DataError(
                f"{len(names)} classes have no training image, e.g. {', '.join(map(repr, names[:3]))}; shc learns from "
                f"images which classes are similar: add some, leave these classes out, or use csq"
            )
        self.similarity.copy_(similarity_of(confused))
        centres = semantic_centres(
            self.similarity.cpu().numpy(),
            self.spec.bits,
            distance=self.distance,
            restarts=self.restarts,
            seed=self.spec.seed,
        )
        self.centres.copy_(torch.from_numpy(centres))


def confusion(logits: Tensor, labels: Tensor, mask: Literal["true", "predicted"] = "true") -> tuple[Tensor, Tensor]:
    """Average, for each class, the probabilities that a classifier gives to the other classes.

    Args:
        logits: float ``(n, C)``.
        labels: int64 ``(n,)``, -1 for none, or multi-hot ``(n, C)``, where an image counts once for each label.
        mask: Mask the class of the image, or the class with the largest logit.

    Returns:
        P, float64 ``(C, C)`` with a diagonal of 0, and the number of images of each class ``(C,)``.
    """
    classes = logits.shape[1]
    rows, of = _pairs(labels)
    total = torch.zeros(classes, classes, dtype=torch.float64, device=logits.device)
    for start in range(0, len(rows), CHUNK):
        row, own = rows[start : start + CHUNK], of[start : start + CHUNK]
        part = logits[row].double()
        hidden = own if mask == "true" else part.argmax(1)
        part[torch.arange(len(part), device=part.device), hidden] = -torch.inf
        total.index_add_(0, own, part.softmax(1))
    counts = torch.bincount(of, minlength=classes)
    mean = total / counts.clamp_min(1)[:, None]
    return mean.fill_diagonal_(0), counts


def similarity_of(confused: Tensor) -> Tensor:
    """Turn P ``(C, C)`` into the similarity S of classes, ``(C, C)``, symmetric, in [-1, 1], 1 on the diagonal."""
    centred = confused - confused.mean(1, keepdim=True)
    scaled = centred / centred.abs().amax(1, keepdim=True).clamp_min(1e-12)
    return ((scaled + scaled.T) / 2).fill_diagonal_(1)


def _pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return image and class of each label that an image has, int64 ``(m,)`` each."""
    if labels.ndim == 2:
        rows, of = (labels > 0).nonzero().unbind(1)
        return rows, of
    rows = (labels >= 0).nonzero()[:, 0]
    return rows, labels[rows]


def _classified(features: Tensor, labels: Tensor, classes: int, passes: int) -> Tensor:
    """Train a linear classifier on standardised features ``(n, d)`` and return its logits, float ``(n, C)``."""
    mean, scale = features.mean(0), features.std(0).mean().clamp_min(1e-6)
    layer = nn.Linear(features.shape[1], classes, device=features.device)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3, weight_decay=1e-4)
    rows, of = _pairs(labels)
    with torch.enable_grad():
        for _ in range(passes):
            for part in torch.split(torch.randperm(len(rows), device=rows.device), 128):
                loss = F.cross_entropy(layer((features[rows[part]] - mean) / scale), of[part])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    with torch.no_grad():
        return torch.cat([layer((chunk - mean) / scale) for chunk in torch.split(features, CHUNK)])
