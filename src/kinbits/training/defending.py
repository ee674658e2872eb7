"""A defence in a training run: it attacks the images of each batch and adds its terms to the method's loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinbits import hamming
from kinbits.attacks import Reference, Victim, handy_labels
from kinbits.defences import Defence, DefendedBatch, build_defence, get_defence
from kinbits.errors import DataError, UsageError
from kinbits.methods import Batch, Method, Optimizer, evaluating, parameters, signs
from kinbits.training.settings import TrainingSettings
from kinbits.training.training_set import TrainingSet


def defending_of(settings: TrainingSettings, method: Method, train: TrainingSet, epochs: int) -> Defending | None:
    """Return the defence of a run that asks for one."""
    if settings.defence is None:
        return None
    return Defending(build_defence(settings.defence, **settings.defence_params), method, train, epochs)


def defence_record(settings: TrainingSettings) -> dict[str, Any]:
    """Return what the training record of a model says about its defence: the name, and every parameter."""
    assert settings.defence is not None
    cls = get_defence(settings.defence)
    defaults = {one.name: one.default for one in parameters(cls)}
    return {"name": cls.name, "params": {**defaults, **settings.defence_params}}


class Defending:
    """The state of a defence in a run.

    Args:
        defence: The defence.
        method: What is trained.
        train: The training rows, with a backbone that is trained.
        epochs: Epochs of the run.

    Raises:
        UsageError: If the method learns no bits, or others than it keeps.
        DataError: If no row has a label.
    """

    def __init__(self, defence: Defence, method: Method, train: TrainingSet, epochs: int) -> None:
        if train.labels is None or train.backbone is None:
            raise DataError(f"defence '{defence.name}' follows labels, and the data have none")
        self.defence, self.method, self.train = defence, method, train
        self.network = _Network(train.backbone, method)
        no_images = torch.zeros(0, method.spec.feature_dim, device=train.device)
        bits = self.network.head.words == hamming.BITS and self.network.logits(no_images).shape[1] == method.spec.bits
        if not bits:
            raise UsageError(
                f"defence '{defence.name}' keeps the bits of codes, and method '{method.name}' does not train them as "
                f"they are in the end; leave the defence out, or take another method"
            )
        self.first = min(round(defence.start * epochs), epochs - 1)
        labels = handy_labels(train.labels.cpu().numpy(), method.spec.classes).to(train.device)
        self.reference = Reference(torch.ones(len(train), method.spec.bits, device=train.device), labels)
        defence.setup(bits=method.spec.bits, classes=method.spec.classes)
        defence.to(train.device)
        self._victim: Victim | None = None

    def start_epoch(self, epoch: int) -> None:
        """Encode all training rows before the first epoch with attacks."""
        if epoch == self.first:
            self.reference.codes.copy_(signs(self.method.outputs(self.train)))

    def step(
        self, batch: Batch, optimizers: Sequence[Optimizer], epoch: int, seed: Sequence[int]
    ) -> Mapping[str, Tensor]:
        """Train on one batch, and return the terms of the method and of the defence.

        The first optimizer, which trains the backbone, adds the terms of the defence to the method's loss.
        """
        if epoch < self.first:
            return self.method.step(batch, optimizers)
        defended = _Defended(optimizers[0], lambda: self.terms(batch, seed))
        own = self.method.step(batch, [defended, *optimizers[1:]])
        return {**own, **defended.added}

    def terms(self, batch: Batch, seed: Sequence[int]) -> Mapping[str, Tensor]:
        """Note the latest codes of a batch, attack its images, and return the terms of the defence."""
        assert batch.images is not None
        codes, labels = self.reference.codes, self.reference.label_rows[batch.rows].dense()
        codes[batch.rows] = signs(self.network.logits(batch.features.detach()))
        known = labels.any(dim=1)
        if int(known.sum()) < 2:  # batch statistics need two
            return {}
        if self._victim is None:
            with evaluating(self.network):
                self._victim = Victim(self.network, bits=codes.shape[1], size=batch.images.shape[-1])
        random = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        given = DefendedBatch(self._victim, batch.images[known], labels[known], self.reference, random)
        return self.defence.terms(given)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"codes": self.reference.codes, "defence": self.defence.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self.reference.codes.copy_(state["codes"])
        self.defence.load_state_dict(state["defence"])


class _Network(nn.Module):
    """Backbone and image head as they are trained: pixels to logits."""

    def __init__(self, backbone: nn.Module, method: Method) -> None:
        super().__init__()
        self.backbone, self.head = backbone, method.towers()["image"]

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(images))
        return logits

    @torch.no_grad()
    def logits(self, features: Tensor) -> Tensor:
        """Return the logits of features in evaluation mode."""
        with evaluating(self.head):
            found: Tensor = self.head(features)
        return found


class _Defended:
    """An optimizer that adds the terms of a defence to the first loss of a step.

    Attributes:
        added: The terms, after the first loss.
    """

    def __init__(self, own: Optimizer, terms: Callable[[], Mapping[str, Tensor]]) -> None:
        self._own, self._terms, self._steps = own, terms, 0
        self.added: Mapping[str, Tensor] = {}

    def minimise(self, loss: Tensor) -> None:
        """Lower the loss, the first time with the terms of the defence."""
        if not self._steps:
            self.added = self._terms()
            loss = torch.stack([loss, *self.added.values()]).sum()
        self._steps += 1
        self._own.minimise(loss)
