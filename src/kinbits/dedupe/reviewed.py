"""A report together with its decisions at one moment, and the rules by which a group is decided."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kinbits._util import lazy, printable
from kinbits.dedupe.decisions import Choice, Decisions, FileDecision, decided_group
from kinbits.dedupe.groups import DuplicateGroup, DuplicateItem, Kind
from kinbits.dedupe.pictures import picture_classes
from kinbits.dedupe.report import DedupeReport
from kinbits.dedupe.seen import SeenFile, fault_of
from kinbits.dedupe.tree import Refusal, Tree, parts_of
from kinbits.errors import DataError, UsageError

Choices = Mapping[int, Choice | None] | Literal["best"]
"""Decisions by the number of a file in its group; or to keep the best file and remove the others."""


ALL = slice(None)


class ChangedDecisionError(DataError):
    """Another person has decided on a group since it was read."""


class NothingLeftError(DataError):
    """No file of a group would be left."""


@dataclass(frozen=True)
class ReviewedFile:
    """A file of a group with its decision.

    Attributes:
        item: The file, as the search found it.
        decision: ``"keep"``, ``"remove"``, or None where nothing was chosen.
        note: Why it cannot be decided on; empty if it can.
    """

    item: DuplicateItem
    decision: Choice | None
    note: str = ""


@dataclass(frozen=True)
class ReviewedGroup:
    """A group with its decisions.

    Attributes:
        number: Place of the group in the report, from 0, as in ``report.csv``.
        group: The group.
        files: Its files, or those that were asked for; the best one is the first of all.
        version: Stands for the report, the group and its decisions; another decision is another version.
    """

    number: int
    group: DuplicateGroup
    files: tuple[ReviewedFile, ...]
    version: str


@dataclass(frozen=True)
class ReviewTotals:
    """What was decided so far.

    Attributes:
        removed: Number of files to remove.
        removed_bytes: Their bytes.
        kept: Number of files to keep.
        undecided: Number of groups without a decision.
        groups: Number of groups of each kind.
    """

    removed: int
    removed_bytes: int
    kept: int
    undecided: int
    groups: Mapping[Kind, int]


@dataclass(frozen=True)
class ReportTables:
    """What a report is asked for again and again.

    Attributes:
        report: The report.
    """

    report: DedupeReport

    @lazy
    def number_of(self) -> dict[tuple[Kind, tuple[str, ...]], int]:
        """The number of each group, by its kind and its paths."""
        return {(group.kind, tuple(item.path for item in group)): n for n, group in enumerate(self.report)}

    @lazy
    def groups_of(self) -> dict[str, list[int]]:
        """The numbers of the groups that each file is in."""
        found: dict[str, list[int]] = {}
        for number, group in enumerate(self.report):
            for item in group:
                found.setdefault(item.path, []).append(number)
        return found

    @lazy
    def same_picture(self) -> dict[str, list[str]]:
        """The files that show the same picture as each file, itself included."""
        places = {path: place for place, path in enumerate(self.groups_of)}
        classes = picture_classes(self.report, places)
        members: dict[int, list[str]] = {}
        for path, place in places.items():
            members.setdefault(classes[place], []).append(path)
        return {path: members[classes[place]] for path, place in places.items()}


@dataclass(frozen=True)
class ReviewedReport:
    """A report with its decisions; both as they were read.

    Attributes:
        tables: The report.
        decisions: The decisions.
    """

    tables: ReportTables
    decisions: Decisions

    def __len__(self) -> int:
        return len(self.report)

    @property
    def report(self) -> DedupeReport:
        """The report."""
        return self.tables.report

    @property
    def root(self) -> Path:
        """Folder of the images."""
        return Path(self.decisions.root)

    def with_decisions(self, decisions: Decisions) -> ReviewedReport:
        """Return the same report with other decisions."""
        return replace(self, decisions=decisions)

    def check(self) -> None:
        """Check that the decisions are about groups of this report.

        Raises:
            DataError: If one is about another group.
        """
        for group in self.decisions.groups:
            if (group.kind, group.paths) not in self.tables.number_of:
                raise DataError(
                    f"the decisions name a group of {printable(group.paths[0])} that the report does not have"
                )

    def path_of(self, number: int, place: int) -> Path:
        """Return the path of a file of a group.

        Raises:
            DataError: If the report names one that is not below its folder.
        """
        path = self.report.groups[number].items[place].path
        try:
            return self.root.joinpath(*parts_of(path))
        except Refusal as refusal:
            raise DataError(f"{printable(path)}: {refusal}") from None

    @lazy
    def chosen(self) -> dict[str, Choice]:
        """The decision of each file that has one."""
        return {path: file.decision for path, file in self.decisions.files.items() if file.decision is not None}

    @lazy
    def totals(self) -> ReviewTotals:
        """What was decided so far."""
        removed = self.decisions.removed
        undecided = sum(not self.is_decided(number) for number in range(len(self)))
        kinds = [group.kind for group in self.report]
        counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
        kept = len(self.chosen) - len(removed)
        return ReviewTotals(len(removed), sum(file.bytes for file in removed), kept, undecided, counts)

    def is_decided(self, number: int) -> bool:
        """Return whether any file of a group has a decision."""
        return any(item.path in self.chosen for item in self.report.groups[number])

    def numbers(self, kind: Kind | None = None, *, undecided: bool = False) -> list[int]:
        """Return the numbers of groups, ascending.

        Args:
            kind: Only groups of this kind.
            undecided: Only groups without a decision.
        """
        return [
            number
            for number, group in enumerate(self.report)
            if (kind is None or group.kind == kind) and not (undecided and self.is_decided(number))
        ]

    def read(self, numbers: Iterable[int], files: slice = ALL) -> list[ReviewedGroup]:
        """Return groups by number, with what is known against each file now; no file is read.

        Args:
            numbers: Numbers of the groups.
            files: Which files of each group.

        Raises:
            DataError: If the folder of the images cannot be opened.
        """
        with Tree(self.root) as tree:
            return [self._read(tree, number, files) for number in numbers]

    def _read(self, tree: Tree, number: int, which: slice) -> ReviewedGroup:
        group = self.report.groups[number]
        some = group.items[which]
        files = tuple(ReviewedFile(item, self.chosen.get(item.path), fault_of(tree, item)) for item in some)
        return ReviewedGroup(number, group, files, self.version_of(number))

    def version_of(self, number: int) -> str:
        """Return what stands for the decisions of a group; see `ReviewedGroup`."""
        made = [self.chosen.get(item.path) for item in self.report.groups[number]]
        return hashlib.sha256(json.dumps([self.decisions.report, number, made]).encode()).hexdigest()[:16]

    def touched_by(self, number: int, choices: Choices) -> list[int]:
        """Return the numbers of all groups that decisions on a group concern, as some files are in several groups."""
        paths = [item.path for item in self.report.groups[number]]
        changed = paths if choices == "best" else [paths[place] for place in self._places(number, choices)]
        return sorted({number}.union(*(self.tables.groups_of[path] for path in changed)))

    def _places(self, number: int, choices: Choices) -> list[int]:
        size = len(self.report.groups[number])
        for place in () if choices == "best" else choices:
            if not 0 <= place < size:
                raise UsageError(f"group {number} has the files 0 to {size - 1}, and no file {place}")
        return [] if choices == "best" else list(choices)

    def decide(
        self, number: int, choices: Choices, seen: Mapping[str, SeenFile], *, remove_all: bool = False
    ) -> Decisions:
        """Return the decisions after some more on one group.

        Args:
            number: Number of the group.
            choices: What to keep and to remove; all other decisions stay.
            seen: The files of this group as they are now, and those of the groups of `touched_by` that have no
                decision yet.
            remove_all: Whether nothing may be left of a group.

        Raises:
            UsageError: If the group has no such file.
            DataError: If a file has changed since the search.
            NothingLeftError: If no file of a group would be left, and no copy is kept elsewhere.
        """
        files = {**self.decisions.files, **{path: _as_decision(file) for path, file in seen.items()}}
        chosen = {path: choice for path, choice in self.chosen.items() if files[path].sha256}
        for path, choice in self._by_path(number, choices, seen).items():
            chosen.pop(path, None)
            chosen |= {} if choice is None else {path: choice}
        touched = self.touched_by(number, choices)
        before = [one for one in touched if self._is_emptied(one, self.chosen, files)]
        emptied = [one for one in touched if one not in before and self._is_emptied(one, chosen, files)]
        if emptied and not remove_all:
            raise NothingLeftError(
                f"no file of group {emptied[0]} would be left, and no copy of it is kept in another group; keep one, "
                "or confirm it with remove_all"
            )
        return self._listed(touched, chosen, files)

    def _by_path(self, number: int, choices: Choices, seen: Mapping[str, SeenFile]) -> dict[str, Choice | None]:
        paths = [item.path for item in self.report.groups[number]]
        if choices == "best":
            usable = [path for path in paths if seen[path].sha256]
            if not usable:
                raise DataError(f"no file of group {number} can be decided on; search again")
            return {path: "keep" if path == usable[0] else "remove" for path in usable}
        for place in self._places(number, choices):
            file = seen[paths[place]]
            if not file.sha256 and choices[place] is not None:
                raise DataError(f"{printable(file.path)}: {file.note}; search again to decide on it")
        return {paths[place]: choice for place, choice in choices.items()}

    def _is_emptied(self, number: int, chosen: Mapping[str, Choice], files: Mapping[str, FileDecision]) -> bool:
        """Return whether a group loses all its files, and a picture of it that is not kept elsewhere."""
        usable = [item.path for item in self.report.groups[number] if item.path in files and files[item.path].sha256]
        if not usable or any(chosen.get(path) != "remove" for path in usable):
            return False
        return any(all(chosen.get(other) != "keep" for other in self.tables.same_picture[path]) for path in usable)

    def _listed(
        self, touched: Iterable[int], chosen: Mapping[str, Choice], files: Mapping[str, FileDecision]
    ) -> Decisions:
        """Return the decisions on the groups that were listed before, and on those that are touched now."""
        entries = {self.tables.number_of[group.kind, group.paths]: group for group in self.decisions.groups}
        for number in touched:
            group = self.report.groups[number]
            usable = [item.path for item in group if files[item.path].sha256]
            entries[number] = decided_group(group, chosen, usable)
        entries = {
            number: entry for number, entry in sorted(entries.items()) if any(path in chosen for path in entry.paths)
        }
        paths = dict.fromkeys(path for entry in entries.values() for path in entry.paths)
        listed = {path: _decided_as(files[path], chosen.get(path)) for path in paths}
        return replace(self.decisions, files=listed, groups=tuple(entries.values()))


def _as_decision(file: SeenFile) -> FileDecision:
    return FileDecision(file.path, None, file.bytes, file.modified, file.sha256)


def _decided_as(file: FileDecision, decision: Choice | None) -> FileDecision:
    return file if file.decision == decision else replace(file, decision=decision)
