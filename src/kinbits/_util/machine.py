"""What this process may use of the machine."""

import os


def processors() -> int:
    """Return the number of processors that this process may run on: fewer than the machine has, in a container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
