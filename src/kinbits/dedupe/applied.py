"""What was done with decisions, and what was put back."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from kinbits._util import printable
from kinbits.dedupe.table import size_text
from kinbits.dedupe.undo_file import Mode

_SHOWN = 8


@dataclass(frozen=True)
class DoneFile:
    """A file that was moved, linked or put back.

    Attributes:
        path: Path relative to the root.
        bytes: Size of the file.
        kept: The file that it is now a link to; empty if it was moved or put back.
    """

    path: str
    bytes: int
    kept: str = ""


@dataclass(frozen=True)
class RefusedFile:
    """A file that was left as it is.

    Attributes:
        path: Path relative to the root.
        reason: Why.
    """

    path: str
    reason: str


class _Outcome(ABC):
    """What a run did with files: what both outcomes, which are data classes, tell in the same way."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    undo: Path
    done: tuple[DoneFile, ...]

    @property
    def bytes(self) -> int:
        """Bytes of the files that this run moved, linked or put back."""
        return sum(file.bytes for file in self.done)

    @abstractmethod
    def _summary(self) -> str:
        """Return the result in a line."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._summary()})"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return {**asdict(self), "undo": str(self.undo), "bytes": self.bytes}

    def to_json(self) -> str:
        """Return everything as JSON text."""
        return json.dumps(self.to_dict(), indent=1)


@dataclass(frozen=True, repr=False)
class AppliedDecisions(_Outcome):
    """What `apply_decisions` did. Prints as a few lines.

    Attributes:
        mode: ``"move"`` or ``"link"``.
        root: Folder of the images.
        target: Folder that files were moved to; empty for links.
        undo: The undo file.
        done: Files that are moved or linked now.
        earlier: Files that an earlier run had moved or linked already.
        refused: Files that were left as they are, with reasons.
        dry_run: Whether everything was only checked.
    """

    mode: Mode
    root: str
    target: str
    undo: Path
    done: tuple[DoneFile, ...]
    earlier: tuple[DoneFile, ...]
    refused: tuple[RefusedFile, ...]
    dry_run: bool = False

    def __str__(self) -> str:
        lines = [self._summary()]
        if self.earlier:
            lines.append(f"{_files(len(self.earlier))} had been {self._word} by an earlier run")
        lines += _reasons("left as it is", self.refused)
        if not self.dry_run and (self.done or self.earlier):
            lines.append(f"undo file: {printable(self.undo)}")
        return "\n".join(lines)

    @property
    def _word(self) -> str:
        return {"move": "moved", "link": "replaced by links"}[self.mode]

    def _summary(self) -> str:
        start = "would be " if self.dry_run else ""
        place = f" to {printable(self.target)}" if self.mode == "move" else ""
        return f"{_files(len(self.done))}, {size_text(self.bytes)}, {start}{self._word}{place}"


@dataclass(frozen=True, repr=False)
class UndoneDecisions(_Outcome):
    """What `undo_decisions` put back. Prints as a few lines.

    Attributes:
        mode: ``"move"`` or ``"link"``: what was undone.
        root: Folder of the images.
        undo: The undo file.
        done: Files that are at their place again, by this run.
        in_place: Number of files that were at their place already.
        refused: Files that were not put back, with reasons.
        dry_run: Whether everything was only checked.
    """

    mode: Mode
    root: str
    undo: Path
    done: tuple[DoneFile, ...]
    in_place: int
    refused: tuple[RefusedFile, ...]
    dry_run: bool = False

    def __str__(self) -> str:
        lines = [self._summary()]
        if self.in_place:
            lines.append(f"{_files(self.in_place)} {'was' if self.in_place == 1 else 'were'} in place already")
        return "\n".join([*lines, *_reasons("not put back", self.refused)])

    def _summary(self) -> str:
        start = "would be " if self.dry_run else ""
        return f"{_files(len(self.done))}, {size_text(self.bytes)}, {start}put back in {printable(self.root)}"


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"


def _reasons(what: str, refused: Iterable[RefusedFile]) -> list[str]:
    """List each of a few, else counts by reason and the first ones."""
    all_of_them = list(refused)
    if not all_of_them:
        return []
    lines = [f"{what}: {_files(len(all_of_them))}"]
    if len(all_of_them) > _SHOWN:
        reasons = Counter(one.reason for one in all_of_them).most_common(4)
        lines += [f"  {count:,} x {printable(reason)}" for reason, count in reasons]
        lines.append("  among them:")
    return [*lines, *(printable(f"  {one.path}: {one.reason}") for one in all_of_them[:_SHOWN])]
