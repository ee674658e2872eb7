"""The losses of methods as modules, for a training loop of your own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinbits._util import Modality, check_at_least, checked
from kinbits.data import LabelSpace
from kinbits.errors import UsageError
from kinbits.methods.base import Batch, Spec, TrainView, full_precision
from kinbits.methods.registry import build_method, get_method, list_methods


class HashLoss(nn.Module):
    """The loss of a method as a function of logits and labels.

    It needs neither the trainer nor the data: your network maps a batch to logits ``(b, bits)``, and the signs of the
    logits are the codes. The module holds what a method learns or draws beside the network, such as hash centres or a
    classifier. Move it to the network's device, and give its parameters to the optimizer too.

    Args:
        name: A method whose `Method.standalone_loss` is set, e.g. ``"csq"``, ``"hashnet"`` or ``"orthohash"``.
        bits: Code length K, at least 4.
        classes: Number C of classes; or the label space, if the method reads more of it, e.g. a hierarchy.
        multi_label: Whether a row may have several labels. A given label space says so itself.
        seed: Seed of the hash centres and the like.
        params: Hyper-parameters of the method; their defaults are the paper's values.

    Raises:
        UsageError: If the loss needs more than logits and labels, or a parameter is unknown or out of range.
        DataError: If the method does not take such labels.

    Example:
        >>> loss = HashLoss("csq", bits=8, classes=3)
        >>> codes = loss.method.centres[[0, 1, 1]]  # each row has the code of its class
        >>> bool(loss(9 * codes, torch.tensor([0, 1, 1])) < loss(9 * codes, torch.tensor([0, 2, 2])))
        True
    """

    def __init__(
        self,
        name: str,
        *,
        bits: int,
        classes: int | LabelSpace,
        multi_label: bool = False,
        seed: int = 0,
        **params: Any,
    ) -> None:
        super().__init__()
        if not get_method(name).standalone_loss:
            others = ", ".join(other for other in list_methods() if get_method(other).standalone_loss)
            raise UsageError(
                f"the loss of method '{name}' needs more than logits and labels; train it with kinbits.fit, or choose "
                f"one of {others}"
            )
        bits, seed = checked(bits, int, "bits"), checked(seed, int, "seed")
        check_at_least(0, seed=seed)
        space = classes if isinstance(classes, LabelSpace) else _numbered(classes, multi_label)
        self.method = build_method(name, Spec(bits, feature_dim=1, n_train=1, label_space=space, seed=seed), **params)
        del self.method.head  # the logits come from elsewhere

    def set_epoch(self, epoch: int) -> None:
        """Follow the method's schedule, e.g. HashNet's growing slope; call it at the start of each epoch.

        Args:
            epoch: Number of the epoch, from 0.
        """
        self.method.start_epoch(epoch, _NoRows())

    def terms(self, logits: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """Return the weighted terms of the loss by name, each a scalar.

        Args:
            logits: Float ``(b, bits)``.
            labels: int64 ``(b,)`` with -1 for unlabelled rows, or multi-hot ``(b, C)``.

        Raises:
            UsageError: If the shapes do not fit, or a label is no class.
        """
        bits = self.method.spec.bits
        if logits.ndim != 2 or logits.shape[1] != bits or len(labels) != len(logits):
            raise UsageError(
                f"logits of shape {tuple(logits.shape)} for labels of shape {tuple(labels.shape)}; give logits "
                f"(b, {bits}) and one label, or one row of labels, for each"
            )
        self._check_labels(labels)
        batch = Batch(torch.arange(len(logits), device=logits.device), logits.detach(), labels)
        with full_precision(logits):
            return self.method.loss(batch, logits.float())

    def _check_labels(self, labels: Tensor) -> None:
        classes = self.method.spec.classes
        if labels.ndim == 1 and len(labels) and not -1 <= int(labels.min()) <= int(labels.max()) < classes:
            raise UsageError(
                f"labels are from {int(labels.min())} to {int(labels.max())}, and there are {classes} classes; give "
                f"0 to {classes - 1}, or -1 for an unlabelled row"
            )
        if labels.ndim == 2 and labels.shape[1] != classes:
            raise UsageError(f"labels have {labels.shape[1]} columns; give one for each of the {classes} classes")

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar: the sum of `terms`."""
        return torch.stack(list(self.terms(logits, labels).values())).sum()


def _numbered(classes: int, multi_label: bool) -> LabelSpace:
    classes = checked(classes, int, "classes")
    return LabelSpace(tuple(str(number) for number in range(classes)), multi=multi_label)


class _NoRows(TrainView):
    """An empty training set: schedules read none of it."""

    labels = None
    frozen = True

    def __len__(self) -> int:
        return 0

    def chunks(self, modality: Modality = "image", rows: np.ndarray | None = None) -> Iterator[Tensor]:
        """Yield nothing."""
        return iter(())
