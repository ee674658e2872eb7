"""Several processes: what they learned, or why they failed, comes back through files in a temporary folder.

A return value would go through a pipe that is not read before the processes have ended: one that is longer than the
pipe's buffer, 64 KB, would block them for ever.
"""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from kinbits import errors
from kinbits.errors import KinbitsError, PlatformError, platform_error
from kinbits.methods import Method
from kinbits.training.loop import History, TrainingLoop
from kinbits.training.settings import TrainingSettings
from kinbits.training.training_set import TrainingSet
from kinbits.training.weights import load_weights, weights_of

LEARNED = "learned.pt"


def train_on_several(
    fabric: Any, method: Method, data: TrainingSet, validation_set: TrainingSet | None, settings: TrainingSettings
) -> History:
    """Train in processes of their own, and put what they learned into the method and data of this one.

    Args:
        fabric: A `lightning_fabric.Fabric` that starts the processes.
        method: What is trained.
        data: The training rows.
        validation_set: Held-out rows that choose the best epoch, or None.
        settings: How to train.

    Returns:
        The loss terms of every epoch.

    Raises:
        KinbitsError: If one of the processes raised it.
        PlatformError: If the system ended one of the processes.
    """
    with tempfile.TemporaryDirectory(prefix="kinbits-") as name:
        folder = Path(name)
        try:
            fabric.launch(_Work(folder, method, data, validation_set, settings))
        except ProcessRaisedException as error:
            raise _recorded(folder) or error from None
        except ProcessExitedException as error:
            how = error.signal_name or f"exit code {error.exit_code}"
            raise PlatformError(
                f"a training process was ended by {how}; if memory was full, use fewer devices or a smaller batch_size"
            ) from None
        learned = torch.load(folder / LEARNED, weights_only=True)
    load_weights(method, data, learned["weights"])
    return History(**learned["history"])


class _Work:
    """The run in each process. An object, since Fabric walks through plain arguments and rebuilds what it finds."""

    def __init__(self, folder: Path, *job: Any) -> None:
        self.folder, self.job = folder, job

    def __call__(self, fabric: Any) -> None:
        """Run, and write down what was learned; of a user's error, its kind and message."""
        try:
            self._run(fabric)
        except KinbitsError as error:
            record = {"kind": type(error).__name__, "message": str(error)}
            (self.folder / f"error-{fabric.global_rank}.json").write_text(json.dumps(record), encoding="utf-8")
            raise

    def _run(self, fabric: Any) -> None:
        # Spawned processes get tensors in shared memory, and would write into each other's weights.
        method, data, validation_set, settings = copy.deepcopy(self.job)
        history = TrainingLoop(fabric, method, data, validation_set, settings).run()
        if fabric.is_global_zero:
            self._save({"history": vars(history), "weights": weights_of(method, data)})
        # Together, and before the interpreter ends: threads of the connection that outlive it abort the process.
        fabric.barrier()
        torch.distributed.destroy_process_group()

    def _save(self, learned: dict[str, Any]) -> None:
        try:
            torch.save(learned, self.folder / LEARNED)
        except (OSError, RuntimeError) as error:  # torch wraps what the system says
            raise platform_error(f"the trained weights cannot be written in {self.folder}", error) from None


def _recorded(folder: Path) -> KinbitsError | None:
    """Return the error that a process wrote down; the others then failed because they lost that one."""
    for path in sorted(folder.glob("error-*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        kind: type[KinbitsError] = getattr(errors, record["kind"])
        return kind(record["message"])
    return None
