"""Paths and atomic writes: a file or folder is written under a temporary name, synced, and renamed in one step."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinbits._util.moves import UNKNOWN_FLAG, flagged_rename
from kinbits._util.text import shortened
from kinbits.errors import PlatformError, UsageError, platform_error

if TYPE_CHECKING:
    import pyarrow as pa

CONFIG = "config.json"
"""Name of the configuration file in a model folder."""

_SWAP = 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS


def file_digest(path: str | os.PathLike[str]) -> bytes:
    """Return the SHA-256 of the contents of a file, 32 bytes.

    Raises:
        OSError: If it cannot be read, or is no regular file.
    """
    with open(open_regular(path), "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").digest()


def full_path(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path with ``~`` expanded; a later `os.chdir` does not change its meaning.

    Raises:
        UsageError: If it is no path.
    """
    if not isinstance(path, (str, os.PathLike)) or not _is_path(os.fspath(path)):
        raise UsageError(f"{shortened(repr(path), 60)} is no path; give text or a pathlib.Path")
    return Path(os.path.abspath(os.path.expanduser(os.fspath(path))))


def _is_path(text: Any) -> bool:
    """Return whether a file of this name can exist; the system raises `ValueError` if not."""
    try:
        return isinstance(text, str) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def check_parent(path: Path, what: str) -> None:
    """Create the parent folder of a path and check that it is writable, before expensive work starts.

    Args:
        path: File or folder that will be written.
        what: Noun for the remedy in the error, e.g. ``"place"``.

    Raises:
        PlatformError: If the folder cannot be created or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise PlatformError(
            f"cannot write in {path.parent}: {error.strerror or error}; choose another {what}"
        ) from None


def open_regular(path: str | os.PathLike[str], flags: int = os.O_RDONLY, folder: int | None = None) -> int:
    """Open a regular file. Pipes and devices raise an error, because reading from them can block forever.

    Args:
        path: Path of the file.
        flags: Flags as for `os.open`.
        folder: Descriptor of the folder that a relative path starts from.

    Returns:
        The file descriptor; the caller closes it.

    Raises:
        OSError: If the file cannot be opened, or is not a regular file.
    """
    not_regular = OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666, dir_fd=folder)
    except OSError as error:
        raise (not_regular if error.errno == errno.ENXIO else error) from None  # ENXIO: a pipe without a reader
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise not_regular
    return descriptor


def read_regular(path: str | os.PathLike[str], folder: int | None = None) -> bytes:
    """Return the bytes of a regular file; arguments and errors as in `open_regular`."""
    with open(open_regular(path, folder=folder), "rb") as file:
        return file.read()


def open_arrow(path: str | os.PathLike[str]) -> pa.NativeFile:
    """Open a regular file for Arrow by its name; arguments and errors as in `open_regular`.

    Arrow reads in threads of its own. One that gives up a file of Python needs the interpreter, and where that is about
    to end, the process aborts.
    """
    import pyarrow as pa

    os.close(open_regular(path))
    return pa.OSFile(os.fsencode(path))


@contextmanager
def folder_aside(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Write a folder atomically: ``target`` appears complete in one step, or not at all.

    The block fills an empty hidden folder next to the target. If the block ends without an error, all files are synced
    and the folder is renamed to ``target``. An older folder is swapped out in the same step and then removed.
    Leftovers of a killed process are removed by the next write to the same target.

    Args:
        target: Path of the folder; a symbolic link is followed and kept.
        replace: Whether to replace a folder that is not empty.

    Raises:
        FileExistsError: If the target exists, is not empty, and ``replace`` is False.
        PlatformError: If the folder is in place, but the system does not confirm that it is on disk.
        OSError: If the system refuses to write.
    """
    target = Path(os.path.realpath(target))
    aside, lock = _make_aside(target.parent, f".{target.name}.", ".part", Path.mkdir)
    try:
        yield aside
        _sync_tree(aside)
        _put(aside, target, replace=replace)
        settle(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)  # an unfinished folder, or the replaced one
        os.close(lock)


@contextmanager
def file_aside(target: Path) -> Iterator[Path]:
    """Write a file atomically: ``target`` appears complete in one step, or not at all.

    The block writes an empty hidden file next to the target. If the block ends without an error, the file is synced
    and renamed to ``target``; it replaces an older file. Leftovers of a killed process are removed by the next write
    to the same target.

    Raises:
        PlatformError: If the file is in place, but the system does not confirm that it is on disk.
        OSError: If the system refuses to write.
    """
    target = Path(os.path.realpath(target))
    aside, lock = _make_aside(target.parent, f".{target.stem}.", f".part{target.suffix}", _touch)
    try:
        yield aside
        sync_file(aside)
        os.replace(aside, target)
        settle(target)
    finally:
        with suppress(OSError):
            aside.unlink()
        os.close(lock)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which is created if it is missing; the system frees it even if this process is killed.

    The block may remove the folder. On a file system without locks, nothing is locked.

    Raises:
        BlockingIOError: If the lock is held already.
        OSError: If the folder cannot be created, or is a symbolic link.
    """
    lock = _lock_folder(folder)
    try:
        yield
    finally:
        unlock(lock)


def write_text(target: Path, text: str) -> None:
    """Write a small UTF-8 text file atomically.

    Raises:
        PlatformError: If the system refuses to write.
    """
    try:
        with file_aside(target) as aside:
            aside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise platform_error(f"{target} cannot be written", error) from None


def settle(target: Path) -> None:
    """Sync the folder of a renamed file or folder, so that its new name is on disk.

    Raises:
        PlatformError: If the system does not confirm the sync; the rename itself is done.
    """
    try:
        sync_folder(target.parent)
    except OSError as error:
        raise platform_error(f"{target} is changed, but a power failure could undo it", error) from None


def sync_file(path: Path | str, folder: int | None = None) -> None:
    """Wait until a file's contents are on disk.

    Args:
        path: Path of the file.
        folder: Descriptor of the folder that a relative path starts from.
    """
    _sync(os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder))


def sync_folder(path: Path) -> None:
    """Wait until the entries of a folder are on disk."""
    _sync(os.open(path, os.O_RDONLY | os.O_DIRECTORY))


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            sync_file(Path(place, name))
        sync_folder(Path(place))


def _make_aside(folder: Path, start: str, end: str, make: Callable[[Path], None]) -> tuple[Path, int]:
    """Create a hidden file or folder, with a lock that protects it from `_remove_stale` of other processes."""
    _remove_stale(folder, start, end)
    while True:
        aside = folder / f"{start}{secrets.token_hex(4)}{end}"
        make(aside)
        with suppress(FileNotFoundError):  # another process removed it before it was locked
            return aside, _locked(aside)


def _touch(path: Path) -> None:
    path.touch(exist_ok=False)


def _locked(aside: Path) -> int:
    """Lock a file or folder; return the descriptor that holds the lock."""
    lock = os.open(aside, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        free = True
        with suppress(OSError):  # a file system that cannot lock
            free = try_lock(lock)
        if not free:  # another process holds the lock and is about to remove the file
            raise FileNotFoundError(aside)
        aside.stat()  # raises if the file was removed
    except OSError:
        os.close(lock)
        raise
    return lock


def _lock_folder(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    lock, free = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC), True
    with suppress(OSError):  # a file system that cannot lock
        free = try_lock(lock)
    if free and folder.exists() and os.path.samestat(os.fstat(lock), os.stat(folder)):
        return lock
    os.close(lock)
    if free:  # the process that held the lock has removed the folder
        return _lock_folder(folder)
    raise BlockingIOError(errno.EAGAIN, "another process is using it", str(folder))


def _remove_stale(folder: Path, start: str, end: str) -> None:
    """Remove leftovers of killed processes next to a target: files and folders whose lock is free."""
    for name in os.listdir(folder):
        if name.startswith(start) and name.endswith(end) and len(name) == len(start) + 8 + len(end):
            with suppress(OSError):
                lock = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    if try_lock(lock):
                        _remove(folder / name)
                finally:
                    os.close(lock)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def try_lock(descriptor: int) -> bool:
    """Lock an open file or folder; return False if another process holds the lock.

    Raises:
        OSError: If the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Free the lock of an open file or folder, and close it."""
    with suppress(OSError):  # explicitly, because a child forked meanwhile shares the lock, and would keep it
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    with suppress(OSError):  # already closed in a child that was forked meanwhile
        os.close(descriptor)


def _put(aside: Path, target: Path, *, replace: bool) -> None:
    try:
        os.rename(aside, target)  # also over an empty folder
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        if not replace or not target.is_dir():
            raise FileExistsError(errno.EEXIST, "something is there already", str(target)) from None
        _exchange(aside, target)


def _exchange(aside: Path, target: Path) -> None:
    """Swap two folders in one step, or in two renames if the system has no atomic swap."""
    code = flagged_rename(aside, target, _SWAP)
    if not code:
        return
    if code not in UNKNOWN_FLAG:
        raise OSError(code, os.strerror(code), str(target))
    old = aside.with_name(aside.name + "-old")
    target.rename(old)
    try:
        aside.rename(target)
    except OSError:
        old.rename(target)
        raise
    old.rename(aside)
