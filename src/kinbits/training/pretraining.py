"""Label-free training before a method learns: the same trainer, run once more in front."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch

from kinbits.errors import DataError, UsageError
from kinbits.heads import Head
from kinbits.methods import Method, Projector, Recipe, build_method, get_method
from kinbits.training.checkpoint import Checkpoints
from kinbits.training.distributed import world
from kinbits.training.settings import TrainingSettings
from kinbits.training.trainer import train
from kinbits.training.training_set import TrainingSet

FOLDER = "pretraining"
KEPT = ("batch_size", "backbone_lr", "clip")  # these suit the machine and the backbone, not a method


def check_pretraining(method: type[Method], settings: TrainingSettings, *, frozen: bool, vectors: bool) -> None:
    """Refuse a pre-training that cannot work, before anything expensive is done.

    Raises:
        UsageError: If there is nothing to pre-train.
        DataError: If it needs views, and vectors have none.
    """
    if settings.pretrain is None:
        return
    pretrainer = get_method(settings.pretrain)
    if frozen and not method.recipe.epochs:
        raise UsageError(
            f"method '{method.name}' computes its head instead of training it, so with a frozen backbone there is "
            f"nothing to pre-train; train the backbone (finetune), or leave pretrain out"
        )
    if pretrainer.views and vectors:
        raise DataError(
            f"pre-training by '{pretrainer.name}' learns from random views of images, and the data are vectors; leave "
            f"pretrain out"
        )


def views_needed(method: type[Method], settings: TrainingSettings) -> bool:
    """Tell whether some stage of the run learns from random views."""
    return bool(method.views or (settings.pretrain is not None and get_method(settings.pretrain).views))


def pretrain(
    method: Method, data: TrainingSet, settings: TrainingSettings, *, together: bool = False
) -> dict[str, Any]:
    """Train what stands before the method's own loss, in place, without labels.

    A backbone that is trained learns through a projector, which is dropped. Before a frozen one, the method's own
    image head learns. The stage has its own checkpoint, so a run is resumed in the stage where it stopped.

    Args:
        method: What will be trained afterwards.
        data: What to learn from: the training rows, and others that have no label.
        settings: Those of the run, with ``pretrain`` set. Batch size, rate of the backbone and clipping hold for both
            stages; the rest of the recipe is that of the pre-training method.
        together: As in `train`.

    Returns:
        What the training record says about it.
    """
    assert settings.pretrain is not None
    torch.manual_seed(settings.seed)
    head: Head = method.towers()["image"] if data.frozen else Projector(method.spec.feature_dim)
    spec = replace(method.spec, bits=head.bits, n_train=len(data), label_space=None, text_dim=None, has_pairs=False)
    pretrainer = build_method(settings.pretrain, spec)
    pretrainer.head, pretrainer.params = head, {"before": method.name}
    stage = pretraining_settings(settings)
    if not settings.resume and world()[0] == 0:  # the first process alone writes
        Checkpoints(settings.checkpoints).forget()
    history = train(pretrainer, data, stage, together=together)
    return {
        "method": pretrainer.name,
        "trained": "head" if data.frozen else "backbone",
        "epochs": len(history.epochs),
        "recipe": vars(stage.recipe(pretrainer.recipe, len(data))),
        "history": history.epochs,
    }


def pretraining_settings(settings: TrainingSettings) -> TrainingSettings:
    """Return the settings of the stage before the method's own, from those of the run."""
    own: dict[str, Any] = {
        field.name: None for field in fields(Recipe) if field.name not in KEPT and hasattr(settings, field.name)
    }
    folder = settings.checkpoints / FOLDER if settings.checkpoints is not None else None
    own |= {"epochs": settings.pretrain_epochs, "pretrain": None, "pretrain_epochs": None, "patience": None}
    own |= {"defence": None, "defence_params": {}}
    return replace(settings, **own, validation=0.0, checkpoints=folder)
