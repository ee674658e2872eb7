"""One writer of an output at a time, across processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kinbits._util.files import check_parent, full_path, open_regular, try_lock, unlock
from kinbits.errors import PlatformError, platform_error


@contextmanager
def locked_output(target: Path, what: str) -> Iterator[None]:
    """Hold the lock of an output; the system frees it even if this process is killed.

    A hidden file next to the output names the process while the block runs. On a file system without locks, nothing is
    locked.

    Args:
        target: File or folder that the block writes; it need not exist.
        what: Noun for the remedy in the error, e.g. ``"output folder"``.

    Raises:
        PlatformError: If the lock is held already, or the folder of the output cannot be written.
    """
    target = Path(os.path.realpath(full_path(target)))
    check_parent(target, what)
    path = target.with_name(f".{target.name}.lock")
    try:
        lock = _acquire(path)
    except BlockingIOError as error:
        raise PlatformError(f"{error} is writing {target}; wait until it ends, or choose another {what}") from None
    except OSError as error:
        raise platform_error(f"{path} cannot be written", error) from None
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # before the lock is free: then it may be another process's file
        unlock(lock)


def _acquire(path: Path) -> int:
    lock, free = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW), True
    with suppress(OSError):  # a file system that cannot lock
        free = try_lock(lock)
    if free and _is_at(path, lock):
        os.truncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        return lock
    holder = os.pread(lock, 20, 0).decode()
    os.close(lock)
    if free:  # the process that held the lock has removed the file
        return _acquire(path)
    raise BlockingIOError(f"process {holder}" if holder else "another process")


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
