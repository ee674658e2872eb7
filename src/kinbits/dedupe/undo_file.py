"""The undo file: a line for each file, on disk before the file is touched.

A line says what may have happened, not that it did: what did happen is read from the folders. So a process may die
between any two steps, and a second run of either direction finishes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from kinbits._util import full_path, open_regular, parse_json, read_regular, write_text
from kinbits.errors import ArtefactError, UsageError, platform_error

FORMAT, VERSION = "kinbits undo", 1
Mode = Literal["move", "link"]
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST = 2**63  # nanoseconds to the year 2262, and bytes


@dataclass(frozen=True)
class Header:
    """First line of an undo file.

    Attributes:
        mode: ``"move"`` or ``"link"``.
        root: Folder of the images.
        target: Folder that files are moved to; empty for links.
        decisions: Fingerprint of the decisions.
    """

    mode: Mode
    root: str
    target: str
    decisions: str


@dataclass(frozen=True)
class Step:
    """A file that is about to be moved or linked, as it was verified just before.

    Attributes:
        path: Path relative to the root, and to the target.
        bytes: Size of the file.
        modified_ns: Time of its last change, in nanoseconds since 1970.
        mode: Permission bits.
        sha256: SHA-256 of its bytes.
        kept: The file that it is linked to; empty for a move.
    """

    path: str
    bytes: int
    modified_ns: int
    mode: int
    sha256: str
    kept: str = ""

    @property
    def possible(self) -> bool:
        """Return whether the numbers are those of a file, so that a line with them is read again."""
        return 0 <= self.bytes < _MOST and abs(self.modified_ns) < _MOST and 0 <= self.mode <= 0o7777


class UndoFile:
    """An undo file that is being read or written.

    Attributes:
        path: Its path.
        header: Its first line.
        steps: All steps, in order; the last one of a path counts.
        damaged: Numbers of lines that cannot be read, from 1.
    """

    def __init__(self, path: Path, header: Header, steps: dict[str, Step], damaged: tuple[int, ...] = ()) -> None:
        self.path, self.header, self.steps, self.damaged = path, header, steps, damaged

    @classmethod
    def start(cls, path: Path, header: Header) -> UndoFile:
        """Create an undo file, or continue the one of an earlier run of the same decisions.

        Raises:
            UsageError: If the file belongs to other decisions.
            PlatformError: If it cannot be written.
        """
        if not path.exists():
            write_text(path, json.dumps({"format": FORMAT, "version": VERSION, **asdict(header)}) + "\n")
            return cls(path, header, {})
        found = cls.open(path)
        if found.header != header:
            raise UsageError(f"{path} belongs to other decisions, or to another folder; choose another undo file")
        try:
            _cut_torn_line(path)
        except OSError as error:
            raise platform_error(f"{path} cannot be written", error) from None
        return found

    @classmethod
    def open(cls, path: str | Path) -> UndoFile:
        """Read an undo file.

        Raises:
            ArtefactError: If it cannot be read, or is none.
        """
        target = full_path(path)
        try:
            *lines, _torn = read_regular(target).split(b"\n")
        except OSError as error:
            raise ArtefactError(f"{target} cannot be read: {error.strerror or error}; give an undo file") from None
        header = _read_header(target, lines[0] if lines else b"")
        steps: dict[str, Step] = {}
        damaged = []
        for number, line in enumerate(lines[1:], 2):
            try:
                step = _read_step(line)
            except (KeyError, TypeError, ValueError):
                damaged.append(number)
            else:
                steps.pop(step.path, None)
                steps[step.path] = step
        return cls(target, header, steps, tuple(damaged))

    def add(self, steps: Iterable[Step]) -> None:
        """Append steps; they are on disk when this returns.

        Raises:
            PlatformError: If the file cannot be written; then none of the steps may be done.
        """
        new = [step for step in steps if self.steps.get(step.path) != step]
        if not new:
            return
        try:
            self._append([asdict(step) for step in new])
        except OSError as error:
            raise platform_error(f"{self.path} cannot be written, so no further file is touched", error) from None
        self.steps.update({step.path: step for step in new})

    def _append(self, lines: Iterable[dict[str, Any]]) -> None:
        data = "".join(json.dumps(line) + "\n" for line in lines).encode()
        descriptor = open_regular(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW)
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _cut_torn_line(path: Path) -> None:
    """Cut the line that a process was writing when it died; its steps were not begun."""
    data = read_regular(path)
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)


def _read_header(path: Path, line: bytes) -> Header:
    try:
        values = parse_json(line)
        if values.pop("format") != FORMAT or values.pop("version") != VERSION:
            raise ValueError("another format or version")
        header = Header(**values)
        if not all(isinstance(value, str) for value in values.values()) or header.mode not in get_args(Mode):
            raise ValueError("values of wrong types")
        if not all(_is_folder(path) for path in (header.root, header.target)[: 2 if header.mode == "move" else 1]):
            raise ValueError("no folder")
        return header
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ArtefactError(f"{path} is no undo file of version {VERSION}; give one that was written here") from None


def _read_step(line: bytes) -> Step:
    step = Step(**parse_json(line))
    texts, numbers = (step.path, step.sha256, step.kept), (step.bytes, step.modified_ns, step.mode)
    if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
        raise ValueError("values of wrong types")
    os.fsencode(step.path + step.kept)  # a UnicodeEncodeError is a ValueError
    if not step.possible or not _SHA256.fullmatch(step.sha256):
        raise ValueError("values of no file")
    return step


def _is_folder(path: str) -> bool:
    """Return whether a text is an absolute path that the system can have; raise a `ValueError` if it has no bytes."""
    return os.path.isabs(path) and b"\0" not in os.fsencode(path)
