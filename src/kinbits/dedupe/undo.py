"""An undo file carried out: everything is put back, and what cannot be is named."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from kinbits._util import Bar, full_path, locked_output, one_line
from kinbits.dedupe.applied import DoneFile, RefusedFile, UndoneDecisions
from kinbits.dedupe.links import Unlinks
from kinbits.dedupe.moves import BackMoves
from kinbits.dedupe.tree import Refusal, Tree
from kinbits.dedupe.undo_file import UndoFile


def undo_decisions(undo: str | Path, *, dry_run: bool = False, progress: bool = False) -> UndoneDecisions:
    """Put everything back that `apply_decisions` moved or linked.

    Nothing is overwritten: a file stays where it was moved to if another one is at its place, or if its contents
    changed there. If the process dies, the same call finishes.

    Args:
        undo: The undo file.
        dry_run: Whether to check everything and change nothing.
        progress: Whether to show progress.

    Raises:
        ArtefactError: If the undo file cannot be read.
        DataError: If the folder of the images, or the one that files were moved to, does not exist.
        PlatformError: If another process uses the undo file.
    """
    path = full_path(undo)
    file = UndoFile.open(path)
    refused = [RefusedFile("", f"line {line} of the undo file is damaged") for line in file.damaged]
    done, in_place = [], 0
    with ExitStack() as stack:
        if not dry_run:
            stack.enter_context(locked_output(path, "undo file"))
            file = UndoFile.open(path)  # what a process that had the lock wrote meanwhile
        work = _work(stack, file, dry_run)
        steps = list(reversed(file.steps.values()))
        with Bar("undo", len(steps), progress) as bar:
            for number, step in enumerate(steps):
                try:
                    if work.undo(step):
                        done.append(DoneFile(step.path, step.bytes))
                    else:
                        in_place += 1
                except (Refusal, OSError) as error:
                    refused.append(RefusedFile(step.path, one_line(error)))
                bar.update(number + 1)
        work.sync()
    return UndoneDecisions(file.header.mode, file.header.root, path, tuple(done), in_place, tuple(refused), dry_run)


def _work(stack: ExitStack, file: UndoFile, dry_run: bool) -> BackMoves | Unlinks:
    home = stack.enter_context(Tree(file.header.root))
    if file.header.mode == "link":
        return Unlinks(home, dry_run)
    return BackMoves(home, stack.enter_context(Tree(file.header.target)), dry_run)
