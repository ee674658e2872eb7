"""The last finished epoch on disk: written aside and renamed, so that a kill never leaves half a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from kinbits._errors import ArtefactError, EnvironmentFault
from kinbits.training._weights import load_weights, weights_of

if TYPE_CHECKING:
    from kinbits.training._run import Run

FILE = "last.ckpt"


class Checkpoints:
    """Saves and restores a run. Tensors and plain values only: loading one runs no code.

    Args:
        folder: Where the file lies; None keeps nothing.
        fabric: Tells which process writes.
    """

    def __init__(self, folder: Path | None, fabric: Any) -> None:
        self.folder, self.fabric = folder, fabric

    def save(self, run: Run) -> None:
        """Write the state after the last finished epoch."""
        if self.folder is None or not self.fabric.is_global_zero:
            return
        state = {
            "identity": identity(run),
            "weights": weights_of(run.method, run.train),
            "optimizers": [stepper.optimizer.state_dict() for stepper in run.optimizers],
            "epochs": run.history.epochs,
            "best_epoch": run.history.best_epoch,
            "best": run.best,
        }
        target, aside = self.folder / FILE, self.folder / (FILE + ".part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with aside.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(target)
        except OSError as error:
            raise EnvironmentFault(f"cannot write the checkpoint {target}: {error.strerror or error}") from None

    def load(self, run: Run) -> bool:
        """Restore a run; False if there is nothing to restore.

        Raises:
            ArtefactError: The checkpoint is damaged or belongs to another run.
        """
        path = (self.folder or Path()) / FILE
        if not path.exists():
            return False
        try:
            state = torch.load(path, map_location=run.fabric.device, weights_only=True)
        except Exception as error:
            raise ArtefactError(f"the checkpoint {path} cannot be read ({error}); delete it and start again") from None
        wanted, found = identity(run), state["identity"]
        differing = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
        if differing:
            raise ArtefactError(
                f"the checkpoint {path} is of a run with another {', '.join(differing)}; give the same settings, or "
                f"leave out --resume to start again"
            )
        load_weights(run.method, run.train, state["weights"])
        for stepper, saved in zip(run.optimizers, state["optimizers"], strict=True):
            stepper.optimizer.load_state_dict(saved)
        run.history.epochs = state["epochs"]
        run.history.best_epoch = state["best_epoch"]
        run.best = state["best"]
        return True


def identity(run: Run) -> dict[str, Any]:
    """Describe what must be equal for a checkpoint to continue a run."""
    recipe = {f"recipe.{k}": v for k, v in vars(run.recipe).items()}
    return {
        "method": run.method.name,
        **{f"params.{k}": v for k, v in run.method.params.items()},
        "bits": run.method.spec.bits,
        "rows": len(run.train),
        "seed": run.training.seed,
        "validation": run.training.validation,
        "data": run.train.key,
        **recipe,
    }
