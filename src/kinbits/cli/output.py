"""Results on standard output, messages on standard error, both readable in 80 columns."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits._util import UNSAFE, printable
from kinbits.cli.messages import note as note
from kinbits.cli.messages import warn as warn

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from kinbits.data import Skipped

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
SHOWN = 8
COMMAND = 64  # of 80 columns; the rest is for names before it and a backslash behind


def console() -> Console:
    """Return the console for results."""
    from rich.console import Console

    class Ours(Console):
        """Leaves a reader that has gone away to `main`; rich would exit with a code that means a fault."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Ours(highlight=False, emoji=False, markup=False)


def width() -> int:
    """Return the number of columns of the window."""
    return shutil.get_terminal_size().columns


def show(text: object) -> None:
    """Print text of one or several lines."""
    print(_lines(text))


def _lines(text: object) -> str:
    return "\n".join(map(printable, str(text).split("\n")))


def print_json(value: Any) -> None:
    """Print a value as JSON; numpy's numbers and paths become plain ones."""
    print(json_text(value, indent=2))


def json_text(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON, in which a terminal finds nothing to obey: such characters are escaped, not lost."""
    unicode = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    text = json.dumps(value, indent=indent, default=_plain, ensure_ascii=not unicode)
    return UNSAFE.sub(lambda found: "\n" if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> Table:
    """Lay rows out in columns; numbers to the right, long text folded so that it can be copied."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    kept = [list(row) for row in rows]
    made = Table(
        box=SIMPLE_HEAD,
        title=printable(title) if title else None,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        padding=(0, 1),
    )
    for place, name in enumerate(columns):
        number = bool(kept) and all(_is_number(row[place]) or row[place] is None for row in kept)
        made.add_column(printable(name), justify="right" if number else "left", overflow="fold", no_wrap=number)
    for row in kept:
        made.add_row(*(Text(cell_text(value)) for value in row))
    return made


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def cell_text(value: Any) -> str:
    """Write a value as a table shows it: None as nothing, true and false as in filters, six digits of a float."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else printable(value)


def facts(pairs: Mapping[str, Any]) -> None:
    """Print names with their values, one a line; values of several lines are aligned."""
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2))
    made.add_column(no_wrap=True, style="bold")
    made.add_column(overflow="fold")
    for name, value in pairs.items():
        if value is not None and value != "":
            made.add_row(printable(name), Text(_lines(value)))
    console().print(made)


def skipped_text(skipped: Sequence[Skipped]) -> str | None:
    """List what was left out, with reasons: each of a few, else counts by reason and the first ones."""
    lines = [f"{len(skipped):,}"] if len(skipped) > SHOWN else []
    if len(skipped) > SHOWN:
        counts = Counter(one.reason for one in skipped).most_common(4)
        lines += [printable(f"{number:,} x {reason}") for reason, number in counts]
        lines.append("among them:")
    lines += [printable(f"{one.id}: {one.reason}") for one in skipped[:SHOWN]]
    return "\n".join(lines) or None


def skipped_json(skipped: Sequence[Skipped]) -> list[dict[str, str]]:
    """Return what was left out as JSON types."""
    return [{"id": one.id, "reason": one.reason} for one in skipped]


def seconds_text(seconds: float) -> str:
    """Write a duration as a person says it."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def bytes_text(size: float) -> str:
    """Write a size as a person says it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def shell(*words: str | os.PathLike[str]) -> str:
    """Write a command that can be pasted into a shell, over several lines where it is long."""
    import shlex

    lines = [shlex.quote(os.fspath(words[0]))]
    for word in (shlex.quote(os.fspath(word)) for word in words[1:]):
        if len(lines[-1]) + 1 + len(word) > COMMAND:
            lines[-1] += " \\"
            lines.append("  " + word)
        else:
            lines[-1] += " " + word
    return "\n".join(lines)
