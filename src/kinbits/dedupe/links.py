"""Files replaced by hard links to an equal file, and made files of their own again."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace

from kinbits.dedupe.checks import Checks
from kinbits.dedupe.moves import clear_parts, sync_folders
from kinbits.dedupe.transfer import clear_part, part_name, write_part
from kinbits.dedupe.tree import Place, ReadFile, Refusal, Tree, read_place, same_state
from kinbits.dedupe.undo_file import Step

_IMPOSSIBLE = {
    errno.EXDEV: "the equal file is on another disk",
    errno.EMLINK: "the equal file has as many links as the disk allows",
    errno.EPERM: "the disk or its permissions allow no hard links",
    errno.ENOTSUP: "the disk has no hard links",
}


class Links:
    """Replaces files by hard links.

    Args:
        home: The root of the images.
        dry_run: Whether nothing is to be changed.
    """

    def __init__(self, home: Tree, dry_run: bool = False) -> None:
        self.home, self._dry_run = home, dry_run
        self._folders: set[str] = set()

    def finished(self, step: Step) -> bool:
        """Return whether an earlier run linked the file; remove the unfinished copy that a killed one left."""
        if not self._dry_run:
            clear_parts(step, self.home)
        return bool(step.kept) and are_linked(self.home, step)

    def prepare(self, step: Step, state: os.stat_result, checks: Checks) -> Step:
        """Return the step for the undo file, with the file to link to.

        Raises:
            Refusal: If no equal file stays, or the two are one file already.
        """
        for kept in self._equal_files(step, checks):
            made = replace(step, kept=kept)
            if are_linked(self.home, made):
                raise Refusal(f"it is a link to {kept} already")
            with self.home.place(kept) as place:
                if place.stat().st_dev != state.st_dev:
                    raise Refusal(_IMPOSSIBLE[errno.EXDEV])
            return made
        raise Refusal("no file with equal bytes stays; a link is possible only between equal files")

    def _equal_files(self, step: Step, checks: Checks) -> Iterator[str]:
        for group in checks.decisions.groups_by_path[step.path]:
            for file in checks.kept_files(group):
                if file.sha256 == step.sha256:
                    try:
                        checks.unchanged(file)
                    except Refusal:
                        continue
                    yield file.path

    def do(self, step: Step, state: os.stat_result) -> None:
        """Replace a file that is in the undo file: the link is made aside, and renamed over the file.

        Raises:
            Refusal: If it changed.
            OSError: If the system refuses.
        """
        with self.home.place(step.path) as target, self.home.place(step.kept) as kept:
            clear_part(target, step)
            part = target.beside(part_name(step))
            _link(kept, part)
            try:
                if not same_state(target.stat(), state):
                    raise Refusal("it changed while it was checked")
                os.rename(part.name, target.name, src_dir_fd=part.folder, dst_dir_fd=target.folder)
            except (OSError, Refusal):
                clear_part(target, step)
                raise
        self._folders.add(step.path.rpartition("/")[0])

    def sync(self) -> None:
        """Wait until all changes are on disk."""
        sync_folders(self._folders, self.home)


class Unlinks:
    """Makes linked files files of their own again.

    Args:
        home: The root of the images.
        dry_run: Whether nothing is to be changed.
    """

    def __init__(self, home: Tree, dry_run: bool) -> None:
        self.home, self._dry_run = home, dry_run
        self._folders: set[str] = set()
        self._shared: set[tuple[int, int]] = set()  # files that had several of the names

    def undo(self, step: Step) -> bool:
        """Give a file its own bytes, time and permissions back; return False if it has them.

        Raises:
            Refusal: If its contents are no longer what they were, or the link may be one to another file.
            OSError: If the system refuses.
        """
        with self.home.place(step.path) as place:
            if not self._dry_run:
                clear_part(place, step)
            found = read_place(place)
            file = (found.stat.st_dev, found.stat.st_ino)
            if not (are_linked(self.home, step) or file in self._shared) and _is_own(found, step):
                return False
            if found.sha256 != step.sha256:
                raise Refusal(f"it was written after it was linked to {step.kept}; look at it yourself")
            self._shared.add(file)
            if not self._dry_run:
                part = write_part(place, place, step)
                os.rename(part.name, place.name, src_dir_fd=part.folder, dst_dir_fd=place.folder)
                self._folders.add(step.path.rpartition("/")[0])
        return True

    def sync(self) -> None:
        """Wait until all changes are on disk."""
        sync_folders(self._folders, self.home)


def are_linked(home: Tree, step: Step) -> bool:
    """Return whether a file and the one that it was linked to are one file."""
    try:
        with home.place(step.path) as place, home.place(step.kept) as kept:
            return os.path.samestat(place.stat(), kept.stat())
    except (OSError, Refusal):
        return False


def _is_own(found: ReadFile, step: Step) -> bool:
    """Return whether a file that is no link to the kept one has its own bytes; the kept one may have been renamed.

    Raises:
        Refusal: If it has further names, and nothing tells whether they are those of the link.
    """
    if found.stat.st_nlink == 1:
        return True
    if (found.stat.st_mtime_ns, found.stat.st_mode & 0o7777) == (step.modified_ns, step.mode):
        raise Refusal(f"it is a hard link, but not to {step.kept}, which was moved or replaced; look at it yourself")
    return False


def _link(kept: Place, part: Place) -> None:
    try:
        os.link(kept.name, part.name, src_dir_fd=kept.folder, dst_dir_fd=part.folder, follow_symlinks=False)
    except OSError as error:
        if error.errno in _IMPOSSIBLE:
            raise Refusal(_IMPOSSIBLE[error.errno]) from None
        raise
