"""Who may change an index: one thread of one process at a time."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

from kinbits._util import open_regular

_PAUSE = 0.02  # seconds between two tries
_held: set[int] = set()  # descriptors of locks that this process holds


class ChangeLock:
    """Lets the threads of one process change an object in turn.

    A forked child begins with a free lock: the thread that held it lives in the parent.
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
        name: Of the lock file.
        folder: Descriptor of the folder.
        wait: Seconds to wait for another process that holds it.

    Raises:
        BlockingIOError: Another process still holds it.
        OSError: The file cannot be made, is a symbolic link, or is no regular file.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
    descriptor = open_regular(name, flags, folder)
    try:
        _acquire(descriptor, time.monotonic() + wait)
        _held.add(descriptor)
        yield
    finally:
        _held.discard(descriptor)
        with suppress(OSError):  # closed already in a child that was forked here
            # explicitly: a child that was forked meanwhile shares the lock, and would keep it
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


def _acquire(descriptor: int, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE)


def _forget() -> None:
    """Leave the parent's locks to the parent, so that they end with it."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_forget)
