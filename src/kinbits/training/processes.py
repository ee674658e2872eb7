"""Several processes on one machine: what they learned, or why they failed, comes back through files.

Nothing here can wait for ever. The processes find each other by a file in the folder of the run rather than by a port,
which another program could take meanwhile; no result goes through a pipe, which blocks when it is full; and a process
that is done, or has failed, ends at once, while it still holds all that it made: whoever gives up the connection waits
for its thread, with the interpreter's lock, which that thread may be waiting for (PyTorch 2.13, `ProcessGroupGloo`).
"""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import tempfile
import traceback
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, spawn

from kinbits import errors
from kinbits._util import processors, write_text
from kinbits.errors import KinbitsError, PlatformError, UsageError, platform_error
from kinbits.methods import Method
from kinbits.training.hardware import check_hardware, fabric_for
from kinbits.training.history import History
from kinbits.training.loop import TrainingLoop
from kinbits.training.settings import TrainingSettings
from kinbits.training.torchrun import end_process
from kinbits.training.training_set import TrainingSet
from kinbits.training.weights import load_weights, weights_of

LEARNED, MEETING = "learned.pt", "meeting"


def train_on_several(
    method: Method, data: TrainingSet, validation_set: TrainingSet | None, settings: TrainingSettings
) -> History:
    """Train in processes of their own, and put what they learned into the method and data of this one.

    Args:
        method: What is trained.
        data: The training rows.
        validation_set: Held-out rows that choose the best epoch, or None.
        settings: How to train.

    Returns:
        The loss terms of every epoch.

    Raises:
        KinbitsError: If one of the processes raised it.
        PlatformError: If the system ended one of the processes.
        UsageError: If a script starts them while it is imported.
    """
    check_hardware(settings)
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UsageError(
            "every process that is started for devices > 1 imports the script that started it; put what the script "
            'does below `if __name__ == "__main__":`'
        )
    with tempfile.TemporaryDirectory(prefix="kinbits-") as name:
        folder = Path(name)
        try:
            spawn(  # type: ignore[no-untyped-call]
                _work, args=(folder, method, data, validation_set, settings), nprocs=settings.devices
            )
        except ProcessExitedException as error:
            _raise_recorded(folder, error)
            how = error.signal_name or f"exit code {error.exit_code}"
            raise PlatformError(
                f"a training process was ended by {how}; if memory was full, use fewer devices or a smaller batch_size"
            ) from None
        learned = torch.load(folder / LEARNED, weights_only=True)
    load_weights(method, data, learned["weights"])
    return History(**learned["history"])


def _work(rank: int, folder: Path, *job: Any) -> None:
    """Run one process, and end it; write down what was learned or what failed."""
    try:
        _run(rank, folder, *copy.deepcopy(job))  # the tensors came in memory that all processes share
    except KeyboardInterrupt:
        raise  # the parent ends its processes
    except BaseException as error:
        record = {"kind": _kind(error), "message": _message(error), "traceback": traceback.format_exc()}
        write_text(folder / f"error-{rank}.json", json.dumps(record))
        end_process(1)


def _kind(error: BaseException) -> str | None:
    """Return the nearest class of `kinbits.errors`; None for an error of another kind."""
    own = [cls.__name__ for cls in type(error).__mro__ if issubclass(cls, KinbitsError)]
    return next((name for name in own if hasattr(errors, name)), None)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # of a user's own class
        return type(error).__name__


def _run(
    rank: int,
    folder: Path,
    method: Method,
    data: TrainingSet,
    validation: TrainingSet | None,
    settings: TrainingSettings,
) -> None:
    os.environ["LOCAL_RANK"] = str(rank)  # tells Fabric that the processes are there
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, processors() // settings.devices))
    fabric = fabric_for(settings)
    dist.init_process_group(
        "nccl" if fabric.device.type == "cuda" else "gloo",
        store=dist.FileStore(str(folder / MEETING), settings.devices),  # type: ignore[attr-defined]
        rank=rank,
        world_size=settings.devices,
    )
    fabric.launch()
    history = TrainingLoop(fabric, method, data, validation, settings).run()
    if rank == 0:
        _save(folder, {"history": vars(history), "weights": weights_of(method, data)})
    dist.barrier()  # a process that leaves early would break the connection of the others
    end_process(0)  # not in the caller, where nothing is held any more


def _save(folder: Path, learned: dict[str, Any]) -> None:
    try:
        torch.save(learned, folder / LEARNED)
    except (OSError, RuntimeError) as error:  # torch wraps what the system says
        raise platform_error(f"the trained weights cannot be written in {folder}", error) from None


def _raise_recorded(folder: Path, ended: ProcessExitedException) -> None:
    """Raise the error that a process wrote down: a user's, if there is one, since the others then lost that process."""
    records = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("error-*.json"))}
    for record in records.values():
        if record["kind"] is not None:
            kind: type[KinbitsError] = getattr(errors, record["kind"])
            raise kind(record["message"]) from None
    own = records.get(f"error-{ended.error_index}")
    if own is not None:
        raise ProcessRaisedException(own["traceback"], ended.error_index, ended.error_pid) from None
