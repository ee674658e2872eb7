"""Launch a run on one or several processes."""

from __future__ import annotations

from typing import Any

from kinbits._util import checked, started_by_torchrun
from kinbits.errors import DataError
from kinbits.methods import Method
from kinbits.training.hardware import fabric_for
from kinbits.training.history import History
from kinbits.training.loop import TrainingLoop
from kinbits.training.processes import train_on_several
from kinbits.training.settings import TrainingSettings
from kinbits.training.torchrun import join_processes, lost_process_explained
from kinbits.training.training_set import TrainingSet


def train(
    method: Method,
    data: TrainingSet,
    settings: TrainingSettings | None = None,
    validation_set: TrainingSet | None = None,
    *,
    together: bool = False,
) -> History:
    """Train a method in place.

    Args:
        method: What is trained.
        data: The training rows.
        settings: How to train; None trains by the method's recipe.
        validation_set: Held-out rows that choose the best epoch, or None to take the last.
        together: Whether the processes that torchrun started train one model: each of them calls this function with the
            same method, settings and rows. Without torchrun, it changes nothing.

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
    if settings.devices > 1:
        return train_on_several(method, data, validation_set, settings)
    if not (together and started_by_torchrun()):
        return _run(fabric_for(settings), method, data, validation_set, settings)
    join_processes()
    with lost_process_explained():
        return _run(fabric_for(settings, together=True), method, data, validation_set, settings)


def _run(
    fabric: Any, method: Method, data: TrainingSet, validation_set: TrainingSet | None, settings: TrainingSettings
) -> History:
    fabric.launch()
    return TrainingLoop(fabric, method, data, validation_set, settings).run()
