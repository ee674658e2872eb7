"""Files moved from one folder to another with their relative paths, and moved back."""

from __future__ import annotations

import os
from pathlib import Path

from kinbits.dedupe.checks import Checks
from kinbits.dedupe.transfer import clear_part, give_up_source, transfer
from kinbits.dedupe.tree import Place, Refusal, Tree, read_place
from kinbits.dedupe.undo_file import Step, UndoFile
from kinbits.errors import platform_error


class Moves:
    """Moves files to a folder.

    Args:
        home: The root of the images.
        target: Folder that receives them; created unless nothing is to be changed.
        undo: The undo file.
        dry_run: Whether nothing is to be changed.

    Raises:
        PlatformError: If the folder cannot be created.
    """

    def __init__(self, home: Tree, target: Path, undo: UndoFile, dry_run: bool = False) -> None:
        self.home, self._target, self._dry_run = home, target, dry_run
        self._earlier = frozenset(undo.steps)
        self._folders: set[str] = set()
        if not dry_run:
            try:
                target.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise platform_error(f"{target} cannot be created", error) from None

    def finished(self, step: Step) -> bool:
        """Return whether an earlier run moved the file; remove the unfinished copy that a killed one left."""
        if not self._dry_run and self._target.is_dir():
            with Tree(self._target) as away:
                clear_parts(step, self.home, away)
        if not self._target.is_dir() or _state(self.home, step) is not None:
            return False
        with Tree(self._target) as away:
            state = _state(away, step)
        return state is not None and state.st_size == step.bytes

    def prepare(self, step: Step, state: os.stat_result, checks: Checks) -> Step:
        """Return the step for the undo file.

        Raises:
            Refusal: If the place is taken.
        """
        if self._target.is_dir():
            with Tree(self._target) as away:
                if _state(away, step) is not None and not self._is_copy(away, step):
                    raise Refusal("the place is taken by another file")
        return step

    def do(self, step: Step, state: os.stat_result) -> None:
        """Move a file that is in the undo file.

        Raises:
            Refusal: If it changed, or the place is taken.
            OSError: If the system refuses.
        """
        with (
            Tree(self._target) as away,
            self.home.place(step.path) as source,
            away.place(step.path, make=True) as target,
        ):
            _move(source, target, step, state, copied=target.exists() and self._is_copy(away, step))
        self._folders.add(step.path.rpartition("/")[0])

    def sync(self) -> None:
        """Wait until all changes are on disk."""
        if self._folders:
            with Tree(self._target) as away:
                sync_folders(self._folders, self.home, away)

    def _is_copy(self, away: Tree, step: Step) -> bool:
        """Return whether the target is what an earlier run copied."""
        return step.path in self._earlier and _has_contents(away, step)


class BackMoves:
    """Moves files back.

    Args:
        home: The root of the images.
        target: Folder that received them.
        dry_run: Whether nothing is to be changed.
    """

    def __init__(self, home: Tree, target: Tree, dry_run: bool) -> None:
        self.home, self.away, self._dry_run = home, target, dry_run
        self._folders: set[str] = set()

    def undo(self, step: Step) -> bool:
        """Move a file back; return False if it is in place already.

        Raises:
            Refusal: If it cannot be moved back without replacing or losing a file.
            OSError: If the system refuses.
        """
        if not self._dry_run:
            clear_parts(step, self.home, self.away)
        home = _state(self.home, step)
        if _state(self.away, step) is None:
            if home is None:
                raise Refusal("it is neither at its place nor where it was moved to")
            return False
        if not _has_contents(self.away, step):
            raise Refusal("where it was moved to, there is a file with other contents; look at it yourself")
        if home is not None and not _has_contents(self.home, step):
            raise Refusal("another file is at its place; the moved one stays where it is")
        if not self._dry_run:
            self._put_back(step)
        return True

    def _put_back(self, step: Step) -> None:
        with self.away.place(step.path) as source, self.home.place(step.path, make=True) as target:
            _move(source, target, step, source.stat(), copied=target.exists())
        self._folders.add(step.path.rpartition("/")[0])

    def sync(self) -> None:
        """Wait until all changes are on disk, and remove the folders that are empty now."""
        sync_folders(self._folders, self.home, self.away)
        for folder in sorted(self._folders, reverse=True):
            if folder:
                self.away.remove_empty(f"{folder}/x")


def _move(source: Place, target: Place, step: Step, state: os.stat_result, *, copied: bool) -> None:
    """Move a file; one whose whole copy an earlier run left, which died before the removal, is only removed."""
    if copied:
        target.sync_folder()
        give_up_source(source, state)
    else:
        transfer(source, target, step, state)


def clear_parts(step: Step, *trees: Tree) -> None:
    """Remove unfinished copies of a file, which a killed run left, in each of the trees."""
    for tree in trees:
        try:
            with tree.place(step.path) as place:
                clear_part(place, step)
        except Refusal:  # no such folder
            continue


def sync_folders(folders: set[str], *trees: Tree) -> None:
    """Wait until the entries of folders are on disk, in each of the trees.

    Raises:
        PlatformError: If the system does not confirm it.
    """
    for tree in trees:
        for folder in folders:
            try:
                with tree.place(f"{folder}/x" if folder else "x") as place:
                    place.sync_folder()
            except Refusal:
                continue
            except OSError as error:
                raise platform_error(f"all is done in {tree.path}, but a power failure could undo it", error) from None


def _state(tree: Tree, step: Step) -> os.stat_result | None:
    """Return the state of what is at a path; None if there is nothing."""
    try:
        with tree.place(step.path) as place:
            return place.stat()
    except (FileNotFoundError, Refusal):
        return None


def _has_contents(tree: Tree, step: Step) -> bool:
    try:
        with tree.place(step.path) as place:
            return read_place(place).sha256 == step.sha256
    except Refusal:
        return False
