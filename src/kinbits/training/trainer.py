"""Launch a run on one or several processes."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from kinbits.errors import DataError, UsageError
from kinbits.methods import Method
from kinbits.training.loop import History, Run
from kinbits.training.processes import train_on_several
from kinbits.training.settings import Training
from kinbits.training.training_sets import Trainable


def train(method: Method, data: Trainable, training: Training | None = None, held: Trainable | None = None) -> History:
    """Train a method in place.

    Args:
        method: What is trained.
        data: The training rows.
        training: Settings; the method's recipe where None.
        held: Held-out rows that choose the best epoch, or None to take the last.

    Returns:
        The loss terms of every epoch.

    Raises:
        DataError: There are fewer than two rows, or the loss is no longer finite.
        ArtefactError: ``resume`` found another run's checkpoint.
        PlatformError: The system ended one of several processes.
    """
    training = training or Training()
    if len(data) < 2:
        raise DataError(f"there are {len(data)} images to train on; give at least 2")
    fabric = _fabric(training)
    if training.devices > 1:
        return train_on_several(fabric, method, data, held, training)
    fabric.launch()
    return Run(fabric, method, data, held, training).go()


def _fabric(training: Training) -> Any:
    from lightning_fabric import Fabric

    several = training.devices > 1
    if several and training.accelerator != "cpu" and torch.cuda.is_available():
        count = torch.cuda.device_count()
        if training.devices > count:
            raise UsageError(f"devices is {training.devices}; this machine has {count} GPUs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hints about unused hardware
        return Fabric(
            accelerator=training.accelerator,
            devices=training.devices,
            strategy="ddp_spawn" if several else "auto",
            precision=training.precision,
        )
