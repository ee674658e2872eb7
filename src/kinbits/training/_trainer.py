"""Launch a run on one or several processes."""

from __future__ import annotations

import copy
import io
import warnings
from typing import Any

import torch

from kinbits._errors import DataError, UsageError
from kinbits.methods import Method
from kinbits.training._config import Training
from kinbits.training._run import History, Run
from kinbits.training._sets import Trainable
from kinbits.training._weights import load_weights, weights_of


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
    """
    training = training or Training()
    if len(data) < 2:
        raise DataError(f"there are {len(data)} images to train on; give at least 2")
    fabric = _fabric(training)
    history: History
    history, weights = fabric.launch(_Work(method, data, held, training))
    if weights is not None:
        load_weights(method, data, torch.load(io.BytesIO(weights), weights_only=True))
    return history


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


class _Work:
    """The run in each process. An object, since Fabric walks through plain arguments and rebuilds what it finds."""

    def __init__(self, *job: Any) -> None:
        self.job = job

    def __call__(self, fabric: Any) -> tuple[History, bytes | None]:
        """Run; only a spawned process has to send its weights back."""
        if fabric.world_size == 1:
            return Run(fabric, *self.job).go(), None
        # Spawned processes get tensors in shared memory, and would write into each other's weights.
        method, data, held, training = copy.deepcopy(self.job)
        history = Run(fabric, method, data, held, training).go()
        packed = io.BytesIO()  # plain bytes: tensors would be gone with the process
        torch.save(weights_of(method, data), packed)
        # Together, and before the interpreter ends: threads of the connection that outlive it abort the process.
        fabric.barrier()
        torch.distributed.destroy_process_group()
        return history, packed.getvalue()
