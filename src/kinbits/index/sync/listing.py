"""The image files that a folder holds now: paths, sizes and times, and what cannot be read."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from kinbits._util import Bar, file_digest
from kinbits.data import EXTENSIONS, Dataset, PathItems, Skipped, open_dataset
from kinbits.encoding import settled_time
from kinbits.errors import DataError
from kinbits.index.sync.reading import Reading, file_of

THREADS = 8  # of which each waits for the disk


@dataclass(frozen=True)
class FileStamp:
    """Size and time of a file; equal stamps mean that its contents are as before.

    Attributes:
        size: Size in bytes.
        mtime: Time of the last change in ns; -1 if it was too recent to rely on, and then no stamp is equal.
    """

    size: int
    mtime: int

    def same(self, other: FileStamp) -> bool:
        """Whether a file with the other stamp has the contents that it had with this one."""
        return self == other and self.mtime >= 0


@dataclass(frozen=True)
class Listing:
    """The files below a folder.

    Attributes:
        folder: The folder.
        dataset: The images, as `kinbits.open_dataset` reads the folder; None if there are none.
        rows: Path from the folder, as it names an item -> row of the data set.
        stamps: The same -> stamp.
        unreadable: Path of a file or folder -> why it cannot be read.
        time: When the listing began, in ns.
    """

    folder: Path
    dataset: Dataset | None = None
    rows: Mapping[str, int] = field(default_factory=dict)
    stamps: Mapping[str, FileStamp] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    time: int = 0

    @classmethod
    def of_folder(cls, folder: Path, reading: Reading) -> Listing:
        """List the files of a folder.

        Args:
            folder: The folder.
            reading: How it is read.

        Raises:
            DataError: If the folder is missing or cannot be read, or holds no files of images.
        """
        now = time.time_ns()
        _require_folder(folder)
        dataset = _opened(folder, reading)
        if dataset is None:
            return cls(folder)
        if not isinstance(dataset.items, PathItems):
            raise DataError(f"{folder} holds tables, not files of images; add them to the index instead")
        skipped = {one.id: one.reason for one in dataset.skipped}
        unreadable = {path: why for path, why in skipped.items() if os.path.lexists(folder / path)}  # not of captions
        rows: dict[str, int] = {}
        stamps: dict[str, FileStamp] = {}
        for row, (path, place) in enumerate(zip(map(str, dataset.ids.tolist()), dataset.items.paths, strict=True)):
            try:
                stamps[path] = stamp_of(place, now)
                rows[path] = row
            except OSError as error:
                unreadable[path] = f"file cannot be read: {error.strerror or error}"
        return cls(folder, dataset, rows, stamps, unreadable, now)

    def place(self, path: str) -> Path:
        """Return the file of a listed path."""
        items = None if self.dataset is None else self.dataset.items
        assert isinstance(items, PathItems)  # there are rows
        return items.path(self.rows[path])

    def stamp_afterwards(self, path: str) -> FileStamp:
        """Return the stamp of a listed path after its file was read: one that equals no other if it has changed.

        Raises:
            OSError: If it cannot be read.
        """
        known, now = self.stamps[path], stamp_of(self.place(path), self.time)
        return known if now == known else FileStamp(now.size, -1)

    def fault(self, path: str) -> str | None:
        """Return why a path that is not listed cannot be read; None if it is gone, or no image any more."""
        file = file_of(path) if not os.path.lexists(self.folder / path) else path
        try:
            os.lstat(self.folder / file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            return f"file cannot be read: {getattr(error, 'strerror', None) or error}"
        parts = file.split("/")
        above = ("/".join(parts[:depth]) for depth in range(len(parts), 0, -1))
        reason = next((self.unreadable[name] for name in above if name in self.unreadable), None)
        return reason if reason is not None or self.dataset is not None else "file is no usable image"

    def hashes(self, paths: Iterable[str], progress: bool = False) -> dict[str, bytes]:
        """Return the SHA-256 of the contents of listed paths; those that cannot be read are left out."""
        names = list(paths)
        found: dict[str, bytes] = {}
        with Bar("comparing files", len(names), shown=progress) as bar, ThreadPoolExecutor(THREADS) as pool:
            for start in range(0, len(names), 1024):
                some = names[start : start + 1024]
                contents = pool.map(content_of, map(self.place, some))
                found.update((name, one) for name, one in zip(some, contents, strict=True) if one is not None)
                bar.update(start + len(some))
        return found


def stamp_of(path: str | os.PathLike[str], now: int) -> FileStamp:
    """Return the stamp of a file.

    Args:
        path: The file.
        now: Present time in ns, taken before any file was listed.

    Raises:
        OSError: If it cannot be read.
    """
    info = os.stat(path)
    return FileStamp(info.st_size, settled_time(info, now))


def content_of(path: Path) -> bytes | None:
    """Return the SHA-256 of the contents of a file; None if it cannot be read."""
    try:
        return file_digest(path)
    except (OSError, ValueError):
        return None


def _require_folder(folder: Path) -> None:
    try:
        os.listdir(folder)
    except OSError as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise DataError(f"{folder} {reason}; mount its disk, or name the folder that the index is to follow") from None


def _opened(folder: Path, reading: Reading) -> Dataset | None:
    """Open a folder; None if no file in it is a usable image."""
    try:
        return open_dataset(
            folder,
            labels=None if reading.labels else False,
            frames=reading.frames,
            include_hidden=reading.include_hidden,
        )
    except DataError:
        if any(_is_usable(root, name) for root, _, names in os.walk(folder) for name in names):
            raise  # of captions, or of another part of the folder
        return None


def _is_usable(folder: str, name: str) -> bool:
    path = os.path.join(folder, name)
    known = os.path.splitext(name)[1].lower() in EXTENSIONS and not name.startswith(".")
    return known and os.path.isfile(path) and os.access(path, os.R_OK) and os.path.getsize(path) > 0


def skipped_of(reasons: Mapping[str, str]) -> tuple[Skipped, ...]:
    """Return paths with the reasons why they cannot be read, as a data set lists them."""
    return tuple(Skipped(path, reason) for path, reason in sorted(reasons.items()))
