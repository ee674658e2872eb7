"""Text for terminals and error messages."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that change the state of a terminal: control codes, direction marks, line separators, surrogates."""


def shortened(text: str, most: int) -> str:
    """Return a text cut to a maximum length, with an ellipsis at the cut.

    Example:
        >>> shortened("two dogs on grass", 9)
        'two dogs…'
    """
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def printable(text: object) -> str:
    r"""Return a value as text that is safe to print: `UNSAFE` characters are replaced by escapes.

    Example:
        >>> printable("a\x1b[2Jb\n")
        'a\\x1b[2Jb\\n'
    """
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape", "backslashreplace").decode(), str(text))


def one_line(error: object) -> str:
    """Return an error message as one printable line, at most 400 characters, without the C++ trace of torch."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:  # PyYAML names its buffer, not the file, and prints an excerpt over several lines
        return f"line {mark.line + 1}, column {mark.column + 1}: {getattr(error, 'problem', '')}"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return shortened(printable(" ".join(text.split("\nException raised from")[0].split())), 400)


def printed(renderable: Any) -> str:
    """Return what `rich` prints of a table or the like on 80 columns."""
    from rich.console import Console

    text = StringIO()
    Console(file=text, width=80).print(renderable)
    return text.getvalue().rstrip("\n")
