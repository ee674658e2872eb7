"""Size and removal of the files in the cache folder; all of them can be computed again."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kinbits.data.cache import cache_folder
from kinbits.errors import platform_error

KINDS = {"features": "features of images and texts", "arrow": "working copies of tables"}


@dataclass(frozen=True)
class CacheUse:
    """Disk usage of one kind of cached files.

    Attributes:
        name: ``"features"`` or ``"arrow"``; also the name of the folder.
        about: Description of the files.
        folder: Folder of the files; it may not exist.
        entries: Number of data sets with features, or of tables.
        size: Bytes on disk.
    """

    name: str
    about: str
    folder: Path
    entries: int
    size: int


def cache_use() -> list[CacheUse]:
    """Return the disk usage of the cache folder, by kind.

    Raises:
        PlatformError: If the folder cannot be read.
    """
    return [_measured(name) for name in KINDS]


def clear_cache(names: Sequence[str] = tuple(KINDS)) -> int:
    """Remove the cached files, except features that a process is computing.

    Args:
        names: Kinds to remove.

    Returns:
        Number of bytes freed on disk.

    Raises:
        PlatformError: If a file cannot be removed.
    """
    before = sum(_measured(name).size for name in names)
    for name in names:
        for entry in _entries(cache_folder(name)):
            try:
                _remove(entry)
            except OSError as error:
                raise platform_error(f"{entry} cannot be removed", error) from None
    return before - sum(_measured(name).size for name in names)


def _measured(name: str) -> CacheUse:
    folder = cache_folder(name)
    try:
        files = [file.lstat() for entry in _entries(folder) for file in entry.rglob("*") if not file.is_dir()]
        return CacheUse(name, KINDS[name], folder, len(list(_entries(folder))), sum(s.st_blocks * 512 for s in files))
    except OSError as error:
        raise platform_error(f"the cache {folder} cannot be read", error) from None


def _entries(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink())


def _remove(entry: Path) -> None:
    lock = entry / "lock"
    if not lock.exists():
        shutil.rmtree(entry)
        return
    with lock.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        shutil.rmtree(entry)
