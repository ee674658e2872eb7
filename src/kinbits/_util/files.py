"""Paths, and the one way in which files and folders are written: aside, synced, and put in place in one step."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kinbits.errors import PlatformError, platform_error

CONFIG = "config.json"
"""The file of a model folder that says what the model is."""

_HERE = -100  # AT_FDCWD: relative paths start from the working folder
_SWAP = 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS


def full_path(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path, with ``~`` as the home folder, so that a later `os.chdir` moves nothing."""
    return Path(os.path.abspath(os.path.expanduser(os.fspath(path))))


def check_parent(path: Path, what: str) -> None:
    """Make the folder above a path, and refuse one that cannot be written, before any work is done for it.

    Args:
        path: What will be written.
        what: What to choose instead, for the remedy.

    Raises:
        PlatformError: If the folder cannot be made or written.
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
    """Open a regular file; a pipe or a device, which could keep the reader waiting for ever, is refused.

    Args:
        path: Of the file.
        flags: As for `os.open`.
        folder: Descriptor of the folder that a relative path starts from.

    Returns:
        The descriptor, to be closed by the caller.

    Raises:
        OSError: If it cannot be opened, or is no regular file.
    """
    strange = OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666, dir_fd=folder)
    except OSError as error:
        raise (strange if error.errno == errno.ENXIO else error) from None  # a pipe that nobody reads
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise strange
    return descriptor


def read_regular(path: str | os.PathLike[str], folder: int | None = None) -> bytes:
    """Return the bytes of a regular file; arguments and errors as in `open_regular`."""
    with open(open_regular(path, folder=folder), "rb") as file:
        return file.read()


@contextmanager
def folder_aside(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Build a folder beside its place: it appears there complete, in one step, or not at all.

    The block gets an empty hidden folder to fill. When it ends without an error, everything in it is synced, and
    the folder is renamed to ``target``; an older folder there is exchanged in one step and then removed. What a killed
    process left behind is removed by the next one that writes the same target.

    Args:
        target: Where the folder goes; a symbolic link is followed, and stays.
        replace: Take the place of a folder that holds something.

    Raises:
        FileExistsError: If something is there, and ``replace`` is False.
        PlatformError: If it is in place, but the system cannot say that this is on disk.
        OSError: If the system refuses.
    """
    target = Path(os.path.realpath(target))
    aside, lock = _make_aside(target.parent, f".{target.name}.", ".part", Path.mkdir)
    try:
        yield aside
        _sync_tree(aside)
        _put(aside, target, replace=replace)
        settle(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)  # what is left there: an unfinished folder, or the older one
        os.close(lock)


@contextmanager
def file_aside(target: Path) -> Iterator[Path]:
    """Write a file beside its place: it appears there complete, in one step, or not at all.

    The block gets the path of an empty hidden file to write. When it ends without an error, the file is synced and
    renamed to ``target``, over an older file. What a killed process left behind is removed by the next one that writes
    the same target.

    Raises:
        OSError: If the system refuses.
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


def write_text(target: Path, text: str) -> None:
    """Write a small text file in UTF-8, complete or not at all.

    Raises:
        PlatformError: If the system refuses.
    """
    try:
        with file_aside(target) as aside:
            aside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise platform_error(f"{target} cannot be written", error) from None


def settle(target: Path) -> None:
    """Wait until a name that was put in place is on disk.

    Raises:
        PlatformError: If the system cannot say so; the change is made all the same.
    """
    try:
        sync_folder(target.parent)
    except OSError as error:
        raise platform_error(f"{target} is changed, but a power failure could undo it", error) from None


def sync_file(path: Path | str, folder: int | None = None) -> None:
    """Wait until a file's contents are on disk; ``folder`` is the descriptor that a relative path starts from."""
    _sync(os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder))


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on disk."""
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
    """Make a hidden file or folder that its lock protects from `_remove_stale` of other processes."""
    _remove_stale(folder, start, end)
    while True:
        aside = folder / f"{start}{secrets.token_hex(4)}{end}"
        make(aside)
        with suppress(FileNotFoundError):  # removed before it was locked
            return aside, _locked(aside)


def _touch(path: Path) -> None:
    path.touch(exist_ok=False)


def _locked(aside: Path) -> int:
    """Lock a file or folder; return the descriptor that holds the lock."""
    lock = os.open(aside, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        free = True
        with suppress(OSError):  # a file system that cannot lock
            free = _try_lock(lock)
        if not free:  # another process found it stale, and is about to remove it
            raise FileNotFoundError(aside)
        aside.stat()  # still there
    except OSError:
        os.close(lock)
        raise
    return lock


def _remove_stale(folder: Path, start: str, end: str) -> None:
    """Remove what killed processes left beside a target: nobody holds its lock."""
    for name in os.listdir(folder):
        if name.startswith(start) and name.endswith(end) and len(name) == len(start) + 8 + len(end):
            with suppress(OSError):
                lock = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    if _try_lock(lock):
                        _remove(folder / name)
                finally:
                    os.close(lock)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def _try_lock(descriptor: int) -> bool:
    """Lock an open file or folder; False where another process has it, OSError where the file system cannot lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
    """Swap two folders in one step; where the system cannot, in two, which only a kill in between would show."""
    library = ctypes.CDLL(None, use_errno=True)
    one, two = os.fsencode(aside), os.fsencode(target)
    if sys.platform == "darwin":
        failed = library.renamex_np(one, two, _SWAP)
    elif hasattr(library, "renameat2"):
        failed = library.renameat2(_HERE, one, _HERE, two, _SWAP)
    else:
        failed, _ = -1, ctypes.set_errno(errno.ENOSYS)
    if not failed:
        return
    if ctypes.get_errno() not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(target))
    old = aside.with_name(aside.name + "-old")
    target.rename(old)
    try:
        aside.rename(target)
    except OSError:
        old.rename(target)
        raise
    old.rename(aside)
