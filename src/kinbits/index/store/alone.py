"""Work on an index that only one process may do at a time, beside the changes of others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kinbits.errors import BusyError
from kinbits.index.store.folder import platform_errors
from kinbits.index.store.lock import locked


@contextmanager
def alone(place: Path, name: str, wait: float, done: str) -> Iterator[None]:
    """Hold a lock in the folder of an index; the system frees it even if this process is killed.

    Args:
        place: The folder.
        name: Name of the lock file.
        wait: Seconds to wait for another process.
        done: What happens to the index, e.g. ``"synchronised"``.

    Raises:
        BusyError: If another process holds it.
        PlatformError: If the folder cannot be written.
    """
    with platform_errors(place):
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with platform_errors(place), _only(place, done), locked(name, descriptor, wait):
            yield
    finally:
        os.close(descriptor)


@contextmanager
def _only(place: Path, done: str) -> Iterator[None]:
    try:
        yield
    except BlockingIOError:
        raise BusyError(f"{place} is being {done} already; wait until that has ended") from None
