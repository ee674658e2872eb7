"""Progress on standard error: a bar in a terminal or notebook, a line now and then in a log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import TracebackType
from typing import Any

from kinbits._util.text import printable

INTERVAL, LOG_INTERVAL = 0.2, 10.0
_FORMAT = "{desc} {bar:16} {percentage:3.0f} % {remaining}{postfix}"
_wanted = True
_bars: list[Any] = []  # that are on the screen


def show(wanted: bool) -> None:
    """Choose for this process whether progress is shown where a caller asks for it."""
    global _wanted
    _wanted = wanted


def shown() -> bool:
    """Tell whether progress is shown where a caller asks for it."""
    return _wanted


def write_line(text: str) -> None:
    """Write a line to standard error, above a bar if there is one."""
    with _bars[-1].external_write_mode(file=sys.stderr) if _bars else nullcontext():
        print(text, file=sys.stderr, flush=True)


class Bar:
    """Shows how much of something is done.

    Args:
        label: What is being done.
        total: Number of steps.
        shown: Whether to show anything.
    """

    def __init__(self, label: str, total: float, shown: bool) -> None:
        self.label, self.total, self.shown = printable(label), total, shown and _wanted
        self.last = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Bar:
        if self.shown and (sys.stderr.isatty() or "ipykernel" in sys.modules):
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
        """Tell how much is done; cheap enough to call at every step.

        Args:
            done: Finished steps.
            total: Number of steps, if it has become known.
            text: What to show behind the bar; the last text stays if it is empty.
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


def _new_bar(label: str, total: float) -> Any:
    from tqdm.auto import tqdm

    class Ours(tqdm):  # type: ignore[misc]
        """Starts no thread of its own, which a forked child would lack."""

        monitor_interval = 0

    size = {"ncols": _columns(), "nrows": 24}  # tqdm shows nothing in a terminal that does not tell its size
    return Ours(desc=label, total=total, leave=False, bar_format=_FORMAT, file=sys.stderr, **size)


def _columns() -> int | None:
    """Return the width of the terminal, 80 if it does not tell; a notebook chooses its own."""
    return (os.get_terminal_size(sys.stderr.fileno()).columns or 80) if sys.stderr.isatty() else None


@contextmanager
def reporter(label: str, shown: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Give a function ``(done, total)`` that shows progress, or None when nothing is to be shown."""
    if not shown:
        yield None
        return
    with Bar(label, 1, shown) as bar:
        yield bar.update
