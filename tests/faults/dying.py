"""Functions at which a process kills itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import count


def killer(fatal: int) -> Callable[[Callable], Callable]:
    """Return what wraps functions so that the process dies at the n-th step: one before and one after each call."""
    steps = count(1)

    def step() -> None:
        if next(steps) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def dying(function: Callable) -> Callable:
        def call(*arguments, **options):
            step()
            result = function(*arguments, **options)
            step()
            return result

        return call

    return dying
