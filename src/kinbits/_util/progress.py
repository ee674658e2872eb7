"""Progress on standard error: a bar in a terminal or notebook, a line every 10 seconds in a log."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import TracebackType
from typing import Any

from kinbits._util.text import printable

INTERVAL, LOG_INTERVAL = 0.2, 10.0
_FORMAT = "{desc} {bar:16} {percentage:3.0f} % {remaining}{postfix}"
_wanted = True
_bars: list[Any] = []  # bars on the screen


def show(wanted: bool) -> None:
    """Switch progress on or off for this process; callers still have to ask for it."""
    global _wanted
    _wanted = wanted


def shown() -> bool:
    """Return whether progress is switched on for this process."""
    return _wanted


def write_line(text: str) -> None:
    """Write a line to standard error, above a bar if there is one."""
    with _bars[-1].external_write_mode(file=sys.stderr) if _bars else nullcontext():
        print(text, file=sys.stderr, flush=True)


class Bar:
    """Progress bar, or log lines if standard error is not a terminal.

    Args:
        label: Name of the task.
        total: Number of steps.
        shown: Whether to show anything.
    """

    def __init__(self, label: str, total: float, shown: bool) -> None:
        self.label, self.total, self.shown = printable(label), total, shown and _wanted
        self.last = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Bar:
        if self.shown and (sys.stderr.isatty() or _in_notebook()):
            self._bar = _new_bar(self.label, self.total)
            _bars.append(self._bar)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            _bars.remove(self._bar)
            self._bar.close()
            self._bar = None

    def update(self, done: float, total: float | None = None, text: str = "") -> None:
        """Set the number of finished steps; cheap enough for every step.

        Args:
            done: Finished steps.
            total: New number of steps; None keeps the old one.
            text: Text behind the bar; an empty one keeps the last text.
        """
        now = time.monotonic()
        self.total = self.total if total is None else total
        if not self.shown or now - self.last < (INTERVAL if self._bar is not None else LOG_INTERVAL):
            return
        self.last = now
        if self._bar is None:
            write_line(f"{self.label}: {done:,.0f} of {self.total:,.0f} {text}".rstrip())
            return
        if text:
            self._bar.set_postfix_str(printable(text), refresh=False)
        self._bar.n, self._bar.total = done, self.total
        self._bar.refresh()


def _in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook; having imported one is not enough."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def _new_bar(label: str, total: float) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm asks for ipywidgets in a notebook, and does without them
        from tqdm.auto import tqdm

    class ForkSafeBar(tqdm):  # type: ignore[misc]
        """A tqdm bar without the monitor thread, which would not survive a fork."""

        monitor_interval = 0

    size = {"ncols": _columns(), "nrows": 24}  # without a size, tqdm shows nothing in some terminals
    return ForkSafeBar(desc=label, total=total, leave=False, bar_format=_FORMAT, file=sys.stderr, **size)


def _columns() -> int | None:
    """Return the width of the terminal, 80 if it is unknown; None in a notebook, where tqdm sets the width."""
    return (os.get_terminal_size(sys.stderr.fileno()).columns or 80) if sys.stderr.isatty() else None


@contextmanager
def reporter(label: str, shown: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Yield a function ``(done, total)`` that shows progress, or None if ``shown`` is False."""
    if not shown:
        yield None
        return
    with Bar(label, 1, shown) as bar:
        yield bar.update
