"""Locks: one thread of one process changes an index at a time."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from kinbits._util import open_regular, unlock

_PAUSE = 0.02  # seconds between two tries
_held: set[int] = set()  # descriptors of locks that this process holds


class ChangeLock:
    """A lock for the threads of one process.

    In a forked child it starts free, because the thread that held it exists only in the parent.
    """

    def __init__(self) -> None:
        self._lock, self._process = threading.RLock(), os.getpid()

    def __enter__(self) -> None:
        if self._process != os.getpid():
            self._lock, self._process = threading.RLock(), os.getpid()
        self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.release()


@contextmanager
def locked(name: str, folder: int, wait: float) -> Iterator[None]:
    """Hold the lock file of a folder; the system frees it even if this process is killed.

    Args:
        name: Name of the lock file.
        folder: Descriptor of the folder.
        wait: Seconds to wait for another process that holds it.

    Raises:
        BlockingIOError: If another process still holds it.
        OSError: If the file cannot be created, is a symbolic link, or is not a regular file.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
    descriptor = open_regular(name, flags, folder)
    try:
        _acquire(descriptor, time.monotonic() + wait)
        _held.add(descriptor)
        yield
    finally:
        _held.discard(descriptor)
        unlock(descriptor)


def _acquire(descriptor: int, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE)


def _forget() -> None:
    """Close the parent's locks in a child, so that they end with the parent."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_forget)
