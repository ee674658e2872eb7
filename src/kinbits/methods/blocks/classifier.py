"""What methods with a linear classifier share: its cross-entropy, and where it starts with sets of labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinbits.methods.blocks.labels import labelled


def label_cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over rows of the cross-entropy, or of the sum over labels of the binary one; 0 without rows.

    Args:
        scores: float ``(n, C)``.
        labels: int64 ``(n,)`` or multi-hot ``(n, C)``, no row without a label.
    """
    if labels.ndim == 1:
        total = F.cross_entropy(scores, labels, reduction="sum")
    else:
        total = F.binary_cross_entropy_with_logits(scores, labels.float(), reduction="sum")
    return total / max(len(scores), 1)


@torch.no_grad()
def start_from_log_odds(classifier: nn.Linear, labels: Tensor | None) -> None:
    """Set the bias of a classifier of label sets to the log-odds of each label.

    In sets, most labels are absent. With a bias of 0, all bits would first learn that no label is present.

    Args:
        classifier: Its bias ``(C,)`` is changed.
        labels: Of the training rows, multi-hot ``(n, C)``. With one label a row, or None, nothing is changed.
    """
    if labels is not None and labels.ndim == 2:
        known = labels[labelled(labels)] > 0
        classifier.bias.copy_(torch.logit((known.sum(0) + 1) / (len(known) + 2)))
