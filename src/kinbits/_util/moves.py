"""Renames with a flag of the system, such as those that never replace a file."""

from __future__ import annotations

import ctypes
import errno
import os
import sys

_HERE = -2 if sys.platform == "darwin" else -100  # AT_FDCWD: paths are taken as they are
_EXCLUSIVE = 4 if sys.platform == "darwin" else 1  # RENAME_EXCL of macOS, RENAME_NOREPLACE of Linux
UNKNOWN_FLAG = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)  # the system or file system does not know the flag
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EMLINK)


def rename_new(source: str, target: str, source_folder: int, target_folder: int) -> None:
    """Rename a file to a name that is free, in one step where the file system can.

    Elsewhere the file gets its new name first and loses the old one then, so a crash leaves it with one name or both.

    Args:
        source: Name of the file in its folder.
        target: New name in the other folder.
        source_folder: Descriptor of the folder.
        target_folder: Descriptor of the other folder; the same one is allowed.

    Raises:
        FileExistsError: If the new name is taken.
        OSError: If the system refuses; `errno.EXDEV` if the folders are on two file systems.
    """
    code = _rename_exclusively(source, target, source_folder, target_folder)
    if code in UNKNOWN_FLAG:
        _link_then_unlink(source, target, source_folder, target_folder)
    elif code:
        raise OSError(code, os.strerror(code), source, None, target)


def _rename_exclusively(source: str, target: str, source_folder: int, target_folder: int) -> int:
    """Return 0, or the number of the error."""
    return flagged_rename(source, target, _EXCLUSIVE, source_folder, target_folder)


def flagged_rename(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    flag: int,
    source_folder: int = _HERE,
    target_folder: int = _HERE,
) -> int:
    """Rename with a flag of the system; return 0, or the number of the error, `errno.ENOSYS` where it has no flags."""
    library = ctypes.CDLL(None, use_errno=True)
    name = "renameatx_np" if sys.platform == "darwin" else "renameat2"
    if not hasattr(library, name):
        return errno.ENOSYS
    function = getattr(library, name)
    failed = function(source_folder, os.fsencode(source), target_folder, os.fsencode(target), flag)
    return ctypes.get_errno() if failed else 0


def _link_then_unlink(source: str, target: str, source_folder: int, target_folder: int) -> None:
    folders = {"src_dir_fd": source_folder, "dst_dir_fd": target_folder}
    try:
        os.link(source, target, follow_symlinks=False, **folders)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_if_free(source, target, source_folder, target_folder)
    else:
        os.unlink(source, dir_fd=source_folder)


def _rename_if_free(source: str, target: str, source_folder: int, target_folder: int) -> None:
    """Look first: a file system with neither exclusive renames nor hard links offers no more."""
    try:
        os.stat(target, dir_fd=target_folder, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(source, target, src_dir_fd=source_folder, dst_dir_fd=target_folder)
    else:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), source, None, target)
