"""Progress on standard error: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from kinbits._util.text import printable

INTERVAL, LOG_INTERVAL = 0.2, 10.0
_wanted = True


def show(wanted: bool) -> None:
    """Choose for this process whether progress is shown where a caller asks for it."""
    global _wanted
    _wanted = wanted


def shown() -> bool:
    """Tell whether progress is shown where a caller asks for it."""
    return _wanted


class Bar:
    """Shows how much of something is done.

    Args:
        label: What is being done.
        total: How many steps there are.
        shown: Whether to show anything.
    """

    def __init__(self, label: str, total: float, shown: bool) -> None:
        self.label, self.total, self.shown = label, total, shown and _wanted
        self.last = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Bar:
        if self.shown and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TimeRemainingColumn())
            text = TextColumn("{task.fields[text]}")
            self._bar = Progress(*columns, text, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self.label, total=self.total, text="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: float, total: float | None = None, text: str = "") -> None:
        """Tell how far it is; cheap enough to call at every step."""
        now = time.monotonic()
        self.total = self.total if total is None else total
        if not self.shown or now - self.last < (INTERVAL if self._bar is not None else LOG_INTERVAL):
            return
        self.last = now
        if self._bar is not None:
            told = {"text": text} if text else {}
            self._bar.update(self._task, completed=done, total=self.total, **told)
        else:
            sys.stderr.write(f"{printable(self.label)}: {done:,.0f} of {self.total:,.0f} {text}\n")


@contextmanager
def reporter(label: str, shown: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Give a function ``(done, total)`` that shows progress, or None when nothing is to be shown."""
    if not shown:
        yield None
        return
    with Bar(label, 1, shown) as bar:
        yield bar.update
