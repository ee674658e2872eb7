"""What the leaderboard says about a candidate that could not be fitted."""

from __future__ import annotations

import traceback
from pathlib import Path

from kinbits._util import one_line, own_line
from kinbits.errors import KinbitsError


def failure_text(error: Exception) -> str:
    """Return what went wrong in one line: a message of kinbits as it is, of other errors also the type and the line.

    The line is the last one of a user's own code that the error passed through, else the last of all.
    """
    if isinstance(error, KinbitsError):
        return one_line(error)
    name = type(error).__name__
    said = f"{name}: {one_line(error)}" if str(error) else name
    return f"{said} ({own_line(error) or _last_line(error)})"


def _last_line(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"
