"""Decisions on duplicates: which files are kept, which are removed, and what was known of each file at that time."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from kinbits._util import full_path, lazy, parse_json, read_regular, shortened, write_text
from kinbits.dedupe.groups import KINDS, DuplicateGroup, Kind
from kinbits.dedupe.report import DedupeReport
from kinbits.dedupe.table import size_text
from kinbits.errors import DataError

FORMAT, VERSION = "kinbits decisions", 1
Choice = Literal["keep", "remove"]
_MOST = 2**63
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileDecision:
    """The choice for one file, and the file as it was then.

    Attributes:
        path: Path relative to the root, with ``/``.
        decision: ``"keep"``, ``"remove"``, or None where nothing was chosen; the file then stays.
        bytes: Size of the file.
        modified: Time of its last change, in seconds since 1970.
        sha256: SHA-256 of its bytes, hexadecimal; empty if it could not be read, and then it cannot be removed.

    Raises:
        DataError: If a value is impossible.
    """

    path: str
    decision: Choice | None
    bytes: int
    modified: float
    sha256: str

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path:
            raise DataError(f"the path {_quoted(self.path)} is no path")
        if self.decision not in (*get_args(Choice), None):
            raise DataError(f"the decision {_quoted(self.decision)} is not keep, remove or null")
        if type(self.bytes) is not int or not 0 <= self.bytes < _MOST:
            raise DataError(f"the size {_quoted(self.bytes)} is not a number of bytes")
        if type(self.modified) not in (int, float) or not abs(self.modified) < _MOST:
            raise DataError(f"the time {_quoted(self.modified)} is not a number of seconds")
        if not isinstance(self.sha256, str) or (self.sha256 and not _SHA256.fullmatch(self.sha256)):
            raise DataError(f"the sha256 {_quoted(self.sha256)} does not have 64 hexadecimal digits")


@dataclass(frozen=True)
class DecisionGroup:
    """A group of duplicates, of which a file must stay.

    Attributes:
        kind: As in `DuplicateGroup`.
        paths: Paths of all its files.
        remove_all: Whether all of them may go: a person confirmed it, or another group keeps a better copy.

    Raises:
        DataError: If the kind is unknown, or there are no paths, or other values than text among them.
    """

    kind: Kind
    paths: tuple[str, ...]
    remove_all: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"'{self.kind}' is no kind of duplicates; it is one of {', '.join(KINDS)}")
        for path in self.paths:
            if not isinstance(path, str):
                raise DataError(f"the path {_quoted(path)} in a group is no path")
        if not self.paths or type(self.remove_all) is not bool:
            raise DataError("a group has paths, and remove_all is true or false")


@dataclass(frozen=True, repr=False)
class Decisions:
    """Decisions on the files of a report.

    Attributes:
        root: Absolute path of the folder that paths start from.
        report: Fingerprint of the report.
        files: Every file of the groups, by path.
        groups: The groups with at least one decision.

    Raises:
        DataError: If a group names a file that is not listed.
    """

    root: str
    report: str
    files: Mapping[str, FileDecision]
    groups: tuple[DecisionGroup, ...]

    def __post_init__(self) -> None:
        missing = [path for group in self.groups for path in group.paths if path not in self.files]
        if missing:
            raise DataError(f"the group of {_quoted(missing[0])} names it, but its size and sha256 are not listed")
        alone = self.files.keys() - {path for group in self.groups for path in group.paths}
        if any(self.files[path].decision == "remove" for path in alone):
            raise DataError(f"{_quoted(min(alone))} belongs to no group of duplicates")

    def __repr__(self) -> str:
        return f"Decisions({self})"

    def __str__(self) -> str:
        size = size_text(sum(file.bytes for file in self.removed))
        kept = sum(file.decision == "keep" for file in self.files.values())
        return f"{self.root}: remove {len(self.removed):,} files ({size}), keep {kept:,}"

    @property
    def removed(self) -> list[FileDecision]:
        """The files to remove, in the order of the groups."""
        return [file for file in self.files.values() if file.decision == "remove"]

    @property
    def unusable(self) -> list[FileDecision]:
        """The files that had changed since the search, or could not be read; they cannot be removed."""
        return [file for file in self.files.values() if not file.sha256]

    @lazy
    def groups_by_path(self) -> dict[str, list[DecisionGroup]]:
        """The groups that each file is in."""
        found: dict[str, list[DecisionGroup]] = {path: [] for path in self.files}
        for group in self.groups:
            for path in group.paths:
                found[path].append(group)
        return found

    @lazy
    def fingerprint(self) -> str:
        """SHA-256 of all decisions, hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Return the decisions as JSON text; `from_json` reads it."""
        values = {
            "format": FORMAT,
            "version": VERSION,
            "root": self.root,
            "report": self.report,
            "files": [vars(file) for file in self.files.values()],  # much faster than asdict
            "groups": [vars(group) for group in self.groups],
        }
        return json.dumps(values, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Decisions:
        """Read decisions from the text of `to_json` or of a review page.

        Raises:
            DataError: If the text holds no decisions, or a newer kinbits wrote it.
        """
        try:
            values = parse_json(text)
            _check_format(values)
            files = [FileDecision(**file) for file in values["files"]]
            groups = [DecisionGroup(**{**group, "paths": tuple(group["paths"])}) for group in values["groups"]]
            root, report = values["root"], values["report"]
        except DataError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"these are no decisions on duplicates ({type(error).__name__}: {error})") from None
        if not isinstance(root, str) or not isinstance(report, str) or not _is_absolute(root):
            raise DataError(f"the root {_quoted(root)} is not an absolute path")
        by_path = {file.path: file for file in files}
        if len(by_path) < len(files):
            raise DataError("a file is listed twice; write one decision for each")
        return cls(root, report, by_path, tuple(groups))

    @classmethod
    def open(cls, path: str | Path) -> Decisions:
        """Read the file that `save` or a review page wrote.

        Raises:
            DataError: If it cannot be read, or holds no decisions.
        """
        try:
            return cls.from_json(read_regular(full_path(path)))
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from None

    def save(self, path: str | Path) -> Path:
        """Write a file that `open` reads; it appears complete or not at all.

        Raises:
            PlatformError: If the file cannot be written.
        """
        target = full_path(path)
        write_text(target, self.to_json() + "\n")
        return target


def decided_group(group: DuplicateGroup, chosen: Mapping[str, Choice], usable: Collection[str]) -> DecisionGroup:
    """Return a group as decisions list it.

    Args:
        group: The group of the report.
        chosen: Decisions by path.
        usable: Paths of its files that can be decided on; all of them may go if all of these are removed.
    """
    removes_all = bool(usable) and all(chosen.get(path) == "remove" for path in usable)
    return DecisionGroup(group.kind, tuple(item.path for item in group), removes_all)


def report_fingerprint(report: DedupeReport) -> str:
    """Return a SHA-256 that identifies the groups of a report, hexadecimal."""
    groups = [[group.kind, *(vars(item) for item in group)] for group in report]
    return hashlib.sha256(json.dumps([report.root, groups]).encode()).hexdigest()


def _check_format(values: Any) -> None:
    if values["format"] != FORMAT:
        raise DataError(
            f"the format is {_quoted(values['format'])}, not '{FORMAT}'; `kinbits dedupe decide` makes them"
        )
    if values["version"] != VERSION:
        raise DataError(f"the version is {_quoted(values['version'])}; this kinbits reads version {VERSION}")


def _is_absolute(root: str) -> bool:
    """Return whether a text is an absolute path that the system can have."""
    try:
        return root.startswith("/") and b"\0" not in os.fsencode(root)
    except UnicodeEncodeError:
        return False


def _quoted(value: object) -> str:
    return shortened(repr(value), 80)
