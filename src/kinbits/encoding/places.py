"""Folders that a file of codes names: of its model, and of its images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kinbits.errors import UsageError


def is_plain(text: str) -> bool:
    """Return whether a text can be a path and is Unicode without surrogates."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def path_text(path: Path | None) -> str | None:
    """Return a path as a file of codes states it.

    Raises:
        UsageError: If its name is not Unicode.
    """
    if path is not None and not is_plain(str(path)):
        raise UsageError(f"the path {str(path)!r} is not Unicode text, so no file can name it; rename the folder")
    return None if path is None else str(path)


def relative_places(target: Path, facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts that tell where model and root are, seen from a file of codes.

    Args:
        target: The file of codes.
        facts: With the absolute paths ``model`` and ``root``, or None for them.
    """
    here = os.path.realpath(target.parent)
    known = {name: facts[name] for name in ("model", "root") if facts.get(name) is not None}
    return {f"relative_{name}": os.path.relpath(os.path.realpath(path), here) for name, path in known.items()}


def find_place(file: Path, facts: Mapping[str, Any], name: str) -> Path | None:
    """Return the folder that a file of codes names.

    The stated path counts if the folder exists, else the one relative to the file, which holds after both were moved.
    If neither exists, it is the stated path. A stated path that is relative starts from the folder of the file.

    Args:
        file: The file of codes.
        facts: What it says about itself.
        name: ``"model"`` or ``"root"``.
    """
    if facts.get(name) is None:
        return None
    stated = file.parent / facts[name]
    moved = os.path.join(os.path.realpath(file.parent), facts.get(f"relative_{name}", facts[name]))
    return Path(os.path.normpath(moved)) if os.path.exists(moved) and not os.path.exists(stated) else stated
