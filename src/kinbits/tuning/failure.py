"""What the leaderboard says about a candidate that could not be fitted."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

from kinbits._util import one_line
from kinbits.errors import KinbitsError

# code of others: the line that a person can mend is rarely there
_LIBRARIES = (
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")),
    Path(__file__).parents[1],
)


def failure_text(error: Exception) -> str:
    """Return what went wrong in one line: a message of kinbits as it is, of other errors also the type and the place.

    The place is the last line outside of libraries that the error passed through, else the last line; its folder is
    left out, since models are shared with their leaderboard.
    """
    if isinstance(error, KinbitsError):
        return one_line(error)
    name = type(error).__name__
    said = f"{name}: {one_line(error)}" if str(error) else name
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _of_library(frame.filename)] or frames
    return f"{said} ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else said


def _of_library(file: str) -> bool:
    return file.startswith("<") or any(Path(file).is_relative_to(folder) for folder in _LIBRARIES)
