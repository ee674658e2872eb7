"""The time that a search may take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class Budget:
    """Seconds on the wall clock.

    Args:
        seconds: How many; None is no limit.
        clock: Function that returns the time in seconds.
        started: Time by this clock from which they count; None is now.
    """

    def __init__(
        self, seconds: float | None, clock: Callable[[], float] = time.monotonic, started: float | None = None
    ) -> None:
        self.seconds, self._clock = seconds, clock
        self._start = clock() if started is None else started

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    @property
    def left(self) -> float:
        """Seconds until the end; negative after it, infinite without a limit."""
        return math.inf if self.seconds is None else self.seconds - self.spent
