"""Errors in code of a user's own, such as a method file, that kinbits runs."""

from __future__ import annotations

import itertools
import sysconfig
import traceback
from pathlib import Path

_KINBITS = Path(__file__).parents[1]
_OTHERS = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib"))


def own_line(error: BaseException) -> str | None:
    """Return ``file.py:line`` of the last line of a user's own code, run by kinbits, that an error passed through.

    The folder is left out, because messages are shared. None if the error passed through no such code.
    """
    frames = traceback.extract_tb(error.__traceback__)
    called = itertools.dropwhile(lambda frame: not Path(frame.filename).is_relative_to(_KINBITS), frames)
    own = [frame for frame in called if _is_own(frame.filename)]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else None


def _is_own(file: str) -> bool:
    """Return whether code is in a file, and neither in kinbits nor in another library."""
    return not file.startswith("<") and not any(Path(file).is_relative_to(folder) for folder in (_KINBITS, *_OTHERS))
