"""Messages on standard error, and in a log: notes, warnings and errors apart from the results."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from kinbits._util import open_regular, printable, progress
from kinbits.errors import platform_error


class _Log:
    """A text file that messages are appended to, each as one line with its time."""

    def __init__(self) -> None:
        self.descriptor: int | None = None

    def open(self, path: Path) -> None:
        self.close()
        try:
            self.descriptor = open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        except OSError as error:
            raise platform_error(f"the log {path} cannot be written", error) from None

    def write(self, text: str) -> None:
        if self.descriptor is not None:
            now = datetime.now().astimezone().isoformat(timespec="seconds")
            os.write(self.descriptor, f"{now} {os.getpid()} {text}\n".encode())

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
        self.descriptor = None


_log = _Log()
_started = 0.0


def start() -> None:
    """Begin a command with the usual settings, whatever an earlier one in this process asked for."""
    global _started
    _started = time.monotonic()
    _log.close()
    progress.show(True)


def started() -> float:
    """Return when the command began, by `time.monotonic`."""
    return _started


def keep_quiet() -> None:
    """Show no progress and no notes from now on; warnings, errors and results stay."""
    progress.show(False)


def log_to(path: Path, command: Sequence[str]) -> None:
    """Append messages to a file from now on, after a line with the command.

    Raises:
        PlatformError: The file cannot be written.
    """
    _log.open(path)
    _log.write("kinbits " + printable(shlex.join(command)))


def end(code: int) -> None:
    """Note in the log how a command ended."""
    _log.write(f"ended with exit code {code} after {time.monotonic() - _started:.1f} s")
    _log.close()


def note(text: str) -> None:
    """Tell something that is good to know; `keep_quiet` leaves it to the log."""
    _tell(text, shown=progress.shown())


def warn(text: str) -> None:
    """Tell something that may make results wrong, in one line."""
    _tell(" ".join(f"warning: {text}".split()))


def say(text: str) -> None:
    """Print one line, whatever line breaks the text holds."""
    _tell(" ".join(text.split()))


def _tell(text: str, *, shown: bool = True) -> None:
    lines = [printable(line) for line in text.splitlines()]
    _log.write(" ".join(line.strip() for line in lines))
    if shown:
        progress.write_line("\n".join(lines))
