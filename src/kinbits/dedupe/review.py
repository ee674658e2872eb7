"""A review whose decisions are on disk after each one, so that several people and programs can share it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from kinbits._util import full_path, locked_output, shortened
from kinbits.dedupe.decisions import Decisions, report_fingerprint
from kinbits.dedupe.report import REPORT, DedupeReport
from kinbits.dedupe.reviewed import ChangedDecisionError, Choices, ReportTables, ReviewedReport
from kinbits.dedupe.seen import SeenFile, root_folder, see_files
from kinbits.dedupe.tree import Tree
from kinbits.errors import ArtefactError

DECISIONS = "decisions.json"
Stamp = tuple[int, int, int] | None  # of a file; None if there is none


class Review:
    """A report on disk with its decisions, which `apply_decisions` carries out.

    Changes by other programs are followed: each call looks whether one of the two files is another one.

    Args:
        report: Folder of the report, or its ``report.json``.
        root: The folder of the images, if it was moved.
        decisions: File of the decisions, which need not exist. Default: ``decisions.json`` in the folder of the report.

    Raises:
        ArtefactError: If there is no report, or the decisions belong to another one.
        DataError: If the folder of the images cannot be opened, or the decisions cannot be read.
    """

    def __init__(
        self, report: str | Path, *, root: str | Path | None = None, decisions: str | Path | None = None
    ) -> None:
        given = full_path(report)
        self.folder = given.parent if given.name == REPORT and not given.is_dir() else given
        self.path = full_path(decisions) if decisions is not None else self.folder / DECISIONS
        self._given_root, self._reading, self._deciding = root, threading.Lock(), threading.Lock()
        self._stamps: tuple[Stamp, Stamp] = (None, None)
        self._current: ReviewedReport | None = None
        with Tree(self.read().root):
            pass  # there is such a folder

    def read(self) -> ReviewedReport:
        """Return the report and the decisions as they are now.

        Raises:
            ArtefactError: If the report is missing, or the decisions belong to another one.
            DataError: If the decisions cannot be read.
        """
        with self._reading:
            stamps = _stamp(self.folder / REPORT), _stamp(self.path)
            if self._current is None or stamps != self._stamps:
                self._current = self._opened(None if stamps[0] != self._stamps[0] else self._current)
                self._stamps = stamps
            return self._current

    def _opened(self, known: ReviewedReport | None) -> ReviewedReport:
        report = DedupeReport.open(self.folder) if known is None else known.report
        root, fingerprint = str(root_folder(report, self._given_root)), report_fingerprint(report)
        empty = Decisions(root, fingerprint, {}, ())
        found = Decisions.open(self.path) if self.path.exists() else empty
        if (found.report, found.root) != (fingerprint, root):
            raise ArtefactError(
                f"{self.path} decides on another report, or on another folder of images; carry it out, or move it away"
            )
        made = ReviewedReport(ReportTables(report), found) if known is None else known.with_decisions(found)
        made.check()
        return made

    def decide(self, number: int, choices: Choices, version: str, *, remove_all: bool = False) -> list[int]:
        """Decide on files of a group; the decisions are on disk when this returns.

        Args:
            number: Number of the group.
            choices: ``"keep"``, ``"remove"`` or None by the number of a file in the group, where None takes a decision
                back; or ``"best"`` to keep the best file and remove the others. All other decisions stay.
            version: `ReviewedGroup.version` of what the person saw.
            remove_all: Whether nothing may be left of a group.

        Returns:
            The numbers of all other groups that one of the files is in.

        Raises:
            UsageError: If the group has no such file.
            ChangedDecisionError: If another decision was made meanwhile.
            NothingLeftError: If no file of a group would be left.
            DataError: If a file has changed since the search.
            ArtefactError: If the report is missing, or the decisions belong to another one.
            PlatformError: If another process decides now, or the decisions cannot be written.
        """
        with self._deciding, locked_output(self.path, "file of decisions"):
            now = self.read()
            if not 0 <= number < len(now) or version != now.version_of(number):
                raise ChangedDecisionError(_changed(now, number))
            touched = now.touched_by(number, choices)
            if choices:
                made = now.decide(number, choices, self._see(now, number, touched), remove_all=remove_all)
                made.save(self.path)
                self._remember(now.with_decisions(made))
            return [other for other in touched if other != number]

    def _remember(self, made: ReviewedReport) -> None:
        """Keep what was just saved, so that it is not read again."""
        with self._reading:
            self._current, self._stamps = made, (self._stamps[0], _stamp(self.path))

    def _see(self, now: ReviewedReport, number: int, touched: list[int]) -> dict[str, SeenFile]:
        groups = now.report.groups
        others = [item for other in touched for item in groups[other] if item.path not in now.decisions.files]
        return see_files([*groups[number], *others], now.root)


def _changed(now: ReviewedReport, number: int) -> str:
    if not 0 <= number < len(now):
        return f"the report was made again and has no group {number}; read it again"
    made = [now.chosen.get(item.path) or "undecided" for item in now.report.groups[number]]
    shown = shortened(", ".join(made), 200)
    return f"group {number} was decided on meanwhile; its files are now: {shown}. Read it again, then decide"


def _stamp(path: Path) -> Stamp:
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns
