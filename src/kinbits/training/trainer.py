"""Launch a run on one or several processes."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from kinbits._util import checked
from kinbits.errors import DataError, PlatformError, UsageError
from kinbits.methods import Method
from kinbits.training.loop import History, TrainingLoop
from kinbits.training.processes import train_on_several
from kinbits.training.settings import TrainingSettings
from kinbits.training.training_set import TrainingSet


def train(
    method: Method,
    data: TrainingSet,
    settings: TrainingSettings | None = None,
    validation_set: TrainingSet | None = None,
) -> History:
    """Train a method in place.

    Args:
        method: What is trained.
        data: The training rows.
        settings: How to train; None trains by the method's recipe.
        validation_set: Held-out rows that choose the best epoch, or None to take the last.

    Returns:
        The loss terms of every epoch.

    Raises:
        DataError: If there are fewer than two rows, or the loss is no longer finite.
        ArtefactError: If ``resume`` found another run's checkpoint.
        PlatformError: If there is no such hardware, or the system ended one of several processes.
    """
    settings = checked(settings, TrainingSettings | None, "settings") or TrainingSettings()
    if len(data) < 2:
        raise DataError(f"there are {len(data)} images to train on; give at least 2")
    fabric = _fabric(settings)
    if settings.devices > 1:
        return train_on_several(fabric, method, data, validation_set, settings)
    fabric.launch()
    return TrainingLoop(fabric, method, data, validation_set, settings).run()


def check_hardware(settings: TrainingSettings) -> None:
    """Refuse hardware that this machine does not have.

    Raises:
        PlatformError: If training is to run on a GPU, and PyTorch finds none.
        UsageError: If there are fewer GPUs than ``devices``.
    """
    if settings.accelerator == "cuda" and not torch.cuda.is_available():
        raise PlatformError("accelerator is cuda, and PyTorch finds no GPU here; set accelerator to auto or cpu")
    if settings.devices > 1 and settings.accelerator != "cpu" and torch.cuda.is_available():
        count = torch.cuda.device_count()
        if settings.devices > count:
            raise UsageError(f"devices is {settings.devices}; this machine has {count} GPUs")


def _fabric(settings: TrainingSettings) -> Any:
    from lightning_fabric import Fabric

    check_hardware(settings)
    several = settings.devices > 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hints about unused hardware
        return Fabric(
            accelerator=settings.accelerator,
            devices=settings.devices,
            strategy="ddp_spawn" if several else "auto",
            precision=settings.precision,
        )
