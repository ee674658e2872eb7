"""The last finished epoch on disk: written aside and renamed, so that a kill never leaves half a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from kinbits._util import file_aside
from kinbits.errors import ArtefactError, platform_error

FILE = "last.ckpt"
FORMAT = 2  # of what a state holds and of what identifies its run


class Checkpoints:
    """Saves and restores a run's state: tensors and plain values only, so that loading one runs no code.

    Args:
        folder: Where the file lies; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the state after the last finished epoch.

        Raises:
            PlatformError: If the folder cannot be written; the checkpoint before stays.
        """
        if self.folder is None:
            return
        target = self.folder / FILE
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with file_aside(target) as aside, aside.open("wb") as file:
                torch.save({"format": FORMAT, **state}, file)
        except (OSError, RuntimeError) as error:
            # closing its archive after a failed write, torch hides the OSError behind a RuntimeError
            fault = error if isinstance(error, OSError) else error.__context__
            if not isinstance(fault, OSError):
                raise
            raise platform_error(f"cannot write the checkpoint {target}", fault) from None

    def forget(self) -> None:
        """Remove what an earlier run left."""
        if self.folder is not None:
            (self.folder / FILE).unlink(missing_ok=True)

    def load(self, identity: Mapping[str, Any], device: torch.device) -> dict[str, Any] | None:
        """Return the saved state; None if there is nothing to restore.

        Args:
            identity: What must be equal for the state to continue this run.
            device: Where tensors go.

        Raises:
            ArtefactError: If the checkpoint is damaged, of another version of kinbits, or belongs to another run.
        """
        path = (self.folder or Path()) / FILE
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
            format_, found = state.get("format"), dict(state["identity"])
        except Exception as error:
            raise ArtefactError(f"the checkpoint {path} cannot be read ({error}); delete it and start again") from None
        if format_ != FORMAT:
            raise ArtefactError(
                f"the checkpoint {path} is of another version of kinbits, which noted other settings; start again, "
                f"without resuming it"
            )
        differing = sorted(k for k in identity.keys() | found.keys() if identity.get(k) != found.get(k))
        if differing:
            raise ArtefactError(
                f"the checkpoint {path} is of a run with another {', '.join(differing)}; give the same settings, or "
                f"start again, without resuming it"
            )
        return state
