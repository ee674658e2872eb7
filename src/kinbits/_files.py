"""What is known of places on disk without loading anything heavy."""

from __future__ import annotations

import tempfile
from pathlib import Path

from kinbits._errors import EnvironmentFault

CONFIG = "config.json"
"""The file of a model folder that says what the model is."""


def check_parent(path: Path, what: str) -> None:
    """Make the folder above a path, and refuse one that cannot be written, before any work is done for it.

    Args:
        path: What will be written.
        what: What to choose instead, for the remedy.

    Raises:
        EnvironmentFault: The folder cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise EnvironmentFault(
            f"cannot write in {path.parent}: {error.strerror or error}; choose another {what}"
        ) from None
