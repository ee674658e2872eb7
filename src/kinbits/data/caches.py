"""Size and removal of the files in the cache folder; all of them can be computed again."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from kinbits.data.cache import cache_folder, feature_files, remove_files
from kinbits.data.sources.copies import copy_files
from kinbits.errors import platform_error

KINDS = {"features": "features of images and texts", "arrow": "working copies of tables"}
_FILES: dict[str, Callable[[Path], list[Path] | None]] = {"features": feature_files, "arrow": copy_files}


@dataclass(frozen=True)
class CacheUse:
    """Disk usage of one kind of cached files.

    Attributes:
        name: ``"features"`` or ``"arrow"``; also the name of the folder.
        about: Description of the files.
        folder: Folder of the files; it may not exist.
        entries: Number of data sets with features, or of tables.
        size: Bytes of the entries on disk.
        others: Files, folders and links in the folder that kinbits does not know as its own; they are never removed.
    """

    name: str
    about: str
    folder: Path
    entries: int
    size: int
    others: tuple[Path, ...]


def cache_use() -> list[CacheUse]:
    """Return the disk usage of the cache folder, by kind.

    Raises:
        PlatformError: If the folder cannot be read.
    """
    return [_measured(name) for name in KINDS]


def clear_cache(names: Sequence[str] = tuple(KINDS)) -> int:
    """Remove the cached files, except features that a process is computing.

    Only entries that kinbits wrote are removed, file by file. Links are not followed, and everything else stays.

    Args:
        names: Kinds to remove.

    Returns:
        Number of bytes freed on disk.

    Raises:
        PlatformError: If a file cannot be removed.
    """
    freed = 0
    for name in names:
        for entry, files in _found(name)[0].items():
            try:
                freed += _remove(entry, files)
            except OSError as error:
                raise platform_error(f"{entry} cannot be removed", error) from None
    return freed


def _measured(name: str) -> CacheUse:
    entries, others = _found(name)
    size = sum(map(_size, entries.values()))
    return CacheUse(name, KINDS[name], cache_folder(name), len(entries), size, tuple(others))


def _found(name: str) -> tuple[dict[Path, list[Path]], list[Path]]:
    """Return the files of each entry that kinbits wrote, and the paths of everything else."""
    folder = cache_folder(name)
    try:
        if folder.is_symlink():
            return {}, [folder]
        files = {path: _FILES[name](path) for path in sorted(folder.iterdir())} if folder.is_dir() else {}
    except OSError as error:
        raise platform_error(f"the cache {folder} cannot be read", error) from None
    entries = {path: own for path, own in files.items() if own is not None}
    return entries, [path for path in files if path not in entries]


def _size(files: Sequence[Path]) -> int:
    """Return the bytes on disk; another process may have removed a file."""
    size = 0
    for file in files:
        with suppress(FileNotFoundError):
            size += file.lstat().st_blocks * 512
    return size


def _remove(entry: Path, files: Sequence[Path]) -> int:
    """Remove an entry and return its bytes on disk: 0 if a process is computing it."""
    size, lock = _size(files), entry / "lock"
    with ExitStack() as stack:
        if lock in files:
            held = stack.enter_context(lock.open("r+"))
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
        remove_files(entry, files)
    return size
