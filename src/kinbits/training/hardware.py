"""The hardware of a run."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from kinbits.errors import PlatformError, UsageError
from kinbits.training.settings import TrainingSettings


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


def fabric_for(settings: TrainingSettings) -> Any:
    """Return a `lightning_fabric.Fabric` for this process, which knows the device and the precision.

    Raises:
        PlatformError: If there is no such hardware.
    """
    from lightning_fabric import Fabric

    check_hardware(settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hints about unused hardware
        return Fabric(
            accelerator=settings.accelerator,
            devices=settings.devices,
            strategy="ddp" if settings.devices > 1 else "auto",
            precision=settings.precision,
        )
