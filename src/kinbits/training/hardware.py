"""The hardware of a run."""

from __future__ import annotations

import os
import warnings
from typing import Any

import torch

from kinbits._util import started_by_torchrun
from kinbits.errors import PlatformError, UsageError
from kinbits.training.settings import TrainingSettings


def check_hardware(settings: TrainingSettings) -> None:
    """Refuse hardware that this machine does not have.

    Raises:
        PlatformError: If training is to run on a GPU, and PyTorch finds none.
        UsageError: If there are fewer GPUs than processes, or torchrun started processes that cannot run as asked.
    """
    if settings.accelerator == "cuda" and not torch.cuda.is_available():
        raise PlatformError("accelerator is cuda, and PyTorch finds no GPU here; set accelerator to auto or cpu")
    if started_by_torchrun():
        _check_torchrun(settings)
    if settings.devices > 1 and settings.accelerator != "cpu" and torch.cuda.is_available():
        count = torch.cuda.device_count()
        if settings.devices > count:
            raise UsageError(f"devices is {settings.devices}; this machine has {count} GPUs")


def _check_torchrun(settings: TrainingSettings) -> None:
    total, here = (int(os.environ[name]) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if settings.devices > 1:
        raise UsageError(
            f"devices is {settings.devices}, but torchrun has started {total} processes; leave devices out"
        )
    if settings.defence is not None:
        raise UsageError(
            f"a defence trains in one process, and torchrun has started {total}; start it without torchrun"
        )
    if total % here:
        raise UsageError(f"{here} of {total} processes are on this machine; start equally many on each machine")
    gpus = torch.cuda.device_count() if settings.accelerator != "cpu" and torch.cuda.is_available() else here
    if here > gpus:
        raise UsageError(f"torchrun has started {here} processes on this machine, which has {gpus} GPUs; start {gpus}")


def fabric_for(settings: TrainingSettings, *, together: bool = False) -> Any:
    """Return a `lightning_fabric.Fabric` for this process, which knows the device and the precision.

    Args:
        settings: How to train.
        together: Whether the processes that torchrun started train one model.

    Raises:
        PlatformError: If there is no such hardware.
    """
    from lightning_fabric import Fabric

    check_hardware(settings)
    devices, nodes = settings.devices, 1
    if together:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hints about unused hardware
        return Fabric(
            accelerator=settings.accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy="ddp" if devices * nodes > 1 else "auto",
            precision=settings.precision,
        )
