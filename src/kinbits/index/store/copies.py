"""New folders of indexes: they appear complete, in one step, at a free path."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from kinbits._util import check_parent, folder_aside, full_path
from kinbits.errors import UsageError
from kinbits.index.store import manifest
from kinbits.index.store.folder import Folder, platform_errors
from kinbits.index.store.state import State


def save_copy(path: str | os.PathLike[str], state: State) -> None:
    """Write a state into a new folder, completely or not at all.

    Raises:
        UsageError: If the folder exists and is not empty.
        PlatformError: If the folder cannot be written.
    """
    target = full_path(path)
    with new_folder(target) as aside:
        folder = Folder(aside)
        with folder.writing():
            folder.commit(replace(state, segments=tuple(folder.build_segment(s.number, [s]) for s in state.segments)))


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a folder to fill; at the end it moves to its place in one step.

    Raises:
        UsageError: If the place is taken, at the start or at the end.
        PlatformError: If the folder cannot be written.
    """
    with platform_errors(target):
        _require_free(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with folder_aside(target) as aside:
                yield aside
        except FileExistsError:
            _require_free(target)
            raise


def check_new_folder(path: str | os.PathLike[str]) -> None:
    """Refuse a folder for a new index that is taken or cannot be made, before anything is computed.

    Raises:
        UsageError: If the folder exists and is not empty.
        PlatformError: If it cannot be made.
    """
    target = full_path(path)
    _require_free(target)
    check_parent(Path(os.path.realpath(target)), "folder")


def _require_free(target: Path) -> None:
    if (target / manifest.NAME).exists():
        raise UsageError(f"there is an index at {target} already; add to it, or choose another folder")
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists():
        raise UsageError(f"{target} exists and is no empty folder; choose another folder for the index")
