"""Decisions carried out: files are moved aside or replaced by links, never deleted, and everything can be undone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from kinbits._util import Bar, check_parent, full_path, locked_output, one_line
from kinbits.dedupe.applied import AppliedDecisions, DoneFile, RefusedFile
from kinbits.dedupe.checks import Checks
from kinbits.dedupe.decisions import Decisions, FileDecision
from kinbits.dedupe.links import Links
from kinbits.dedupe.moves import Moves
from kinbits.dedupe.tree import Refusal, Tree, root_of
from kinbits.dedupe.undo_file import Header, Mode, Step, UndoFile
from kinbits.errors import UsageError

BATCH = 32  # files whose lines reach the undo file with one sync


def apply_decisions(
    decisions: Decisions | str | Path,
    *,
    move_to: str | Path | None = None,
    link: bool = False,
    undo: str | Path | None = None,
    dry_run: bool = False,
    progress: bool = False,
) -> AppliedDecisions:
    """Move the files to remove into another folder, or replace them by hard links to an equal file that stays.

    Nothing is deleted or overwritten. A file is left as it is, with the reason, if it or the kept files of its group
    changed since the review, if it is not below the root, if a link is on its path, or if its place is taken. Each file
    is in the undo file before it is touched. If the process dies, the same call finishes, and `undo_decisions` puts
    everything back.

    Args:
        decisions: Decisions, or the path of their file.
        move_to: Folder that receives the files with their relative paths; not inside the root.
        link: Whether to link instead; only for files with equal bytes.
        undo: The undo file. Default: in ``move_to``, or next to the file of decisions.
        dry_run: Whether to check everything and change nothing.
        progress: Whether to show progress.

    Raises:
        UsageError: If neither or both of ``move_to`` and ``link`` are given, or the folders are inside each other.
        DataError: If the decisions or the root cannot be read.
        PlatformError: If the undo file cannot be written, or another process applies the same decisions.
    """
    given = decisions if isinstance(decisions, Decisions) else Decisions.open(decisions)
    if (move_to is None) == (not link):
        raise UsageError("give either a folder to move files to, or link")
    target = None if move_to is None else _target(given.root, move_to)
    path = _undo_path(decisions, given, target, undo)
    with ExitStack() as stack:
        tree = stack.enter_context(Tree(given.root))
        if not dry_run:
            check_parent(path, "undo file")
            stack.enter_context(locked_output(path, "undo file"))
        mode: Mode = "link" if target is None else "move"
        header = Header(mode, str(root_of(given.root)), "" if target is None else str(target), given.fingerprint)
        file = _undo_file(path, header, dry_run)
        work = Links(tree, dry_run) if target is None else Moves(tree, target, file, dry_run)
        run = _Run(given, tree, work, file, dry_run)
        with Bar("apply", len(given.removed), progress) as bar:
            run.all(bar)
        work.sync()
    return AppliedDecisions(
        mode,
        header.root,
        header.target,
        path,
        tuple(run.done),
        tuple(run.earlier),
        tuple(run.refused),
        dry_run,
    )


class _Run:
    """One pass over the files to remove."""

    def __init__(self, decisions: Decisions, tree: Tree, work: Moves | Links, undo: UndoFile, dry_run: bool) -> None:
        self.decisions, self.work, self.undo, self.dry_run = decisions, work, undo, dry_run
        self.checks = Checks(decisions, tree)
        self.done: list[DoneFile] = []
        self.earlier: list[DoneFile] = []
        self.refused: list[RefusedFile] = []

    def all(self, bar: Bar) -> None:
        """Check a batch of files, write their lines to the undo file, then touch them."""
        removed = self.decisions.removed
        for start in range(0, len(removed), BATCH):
            checked = list(self._checked(removed[start : start + BATCH]))
            if not self.dry_run:
                self.undo.add(step for step, _ in checked)
            for step, state in checked:
                self._do(step, state)
            bar.update(len(self.done) + len(self.earlier) + len(self.refused))

    def _checked(self, batch: list[FileDecision]) -> Iterator[tuple[Step, os.stat_result]]:
        for file in batch:
            try:
                step = self.undo.steps.get(file.path)
                if step is not None and self.work.finished(step):
                    self.earlier.append(DoneFile(step.path, step.bytes, step.kept))
                    continue
                state = self.checks.removable(file)
                step = Step(file.path, file.bytes, state.st_mtime_ns, state.st_mode & 0o7777, file.sha256)
                if not step.possible:
                    raise Refusal("its time is too far from now to be kept in the undo file")
                yield self.work.prepare(step, state, self.checks), state
            except (Refusal, OSError) as error:
                self._refuse(file.path, error)

    def _do(self, step: Step, state: os.stat_result) -> None:
        try:
            if not self.dry_run:
                self.work.do(step, state)
        except (Refusal, OSError) as error:
            self._refuse(step.path, error)
        else:
            self.done.append(DoneFile(step.path, step.bytes, step.kept))

    def _refuse(self, path: str, error: Exception) -> None:
        self.refused.append(RefusedFile(path, one_line(error)))


def _target(root: str, move_to: str | Path) -> Path:
    """Return the folder that receives files, which is apart from the root."""
    inside, outside = root_of(root), root_of(move_to)
    if inside == outside or inside in outside.parents or outside in inside.parents:
        raise UsageError(f"{outside} and {inside} hold one another; move files to a folder apart from the images")
    return outside


def _undo_path(
    decisions: Decisions | str | Path, given: Decisions, target: Path | None, undo: str | Path | None
) -> Path:
    if undo is not None:
        return full_path(undo)
    name = f"undo-{given.fingerprint[:12]}.jsonl"
    if target is not None:
        return target / name
    if isinstance(decisions, Decisions):
        raise UsageError("name the undo file of the links")
    return full_path(decisions).with_name(name)


def _undo_file(path: Path, header: Header, dry_run: bool) -> UndoFile:
    """Create or continue the undo file; a dry run only reads it."""
    if not dry_run:
        return UndoFile.start(path, header)
    return UndoFile.open(path) if path.exists() else UndoFile(path, header, {})
