"""Files below a folder, reached without following a link: no name leads out of the folder."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from kinbits._util import full_path, open_regular
from kinbits.errors import DataError

_MOST = 2**30  # bytes
_REASONS = {
    errno.ENOENT: "it is missing",
    errno.ELOOP: "it is a symbolic link",
    errno.EINVAL: "it is no regular file",
}
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Refusal(Exception):  # noqa: N818 - an answer for the user, no fault
    """Why a file is not touched, in a few words."""


@dataclass(frozen=True)
class Place:
    """A name in an open folder; the descriptor is valid inside the block of `Tree.place`."""

    folder: int
    name: str

    def stat(self) -> os.stat_result:
        """Return what the system knows of the name itself; a link is not followed."""
        return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)

    def exists(self) -> bool:
        """Return whether there is anything of this name."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def unlink(self) -> None:
        """Remove the name."""
        os.unlink(self.name, dir_fd=self.folder)

    def beside(self, name: str) -> Place:
        """Return another name in the same folder."""
        return Place(self.folder, name)

    def sync_folder(self) -> None:
        """Wait until the folder's entries are on disk."""
        os.fsync(self.folder)


@dataclass(frozen=True)
class ReadFile:
    """A file that was read as a whole.

    Attributes:
        stat: State of the file; the same before and after the read.
        sha256: SHA-256 of its bytes, hexadecimal.
        data: Its bytes, where they were asked for.
    """

    stat: os.stat_result
    sha256: str
    data: bytes = b""


class Tree:
    """An open folder, for use in a ``with`` block.

    Raises:
        DataError: If there is no such folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = full_path(path)
        try:
            self._descriptor = os.open(self.path, _FOLDER)
        except OSError as error:
            raise DataError(f"the folder {self.path} cannot be opened: {error.strerror or error}") from None

    def __enter__(self) -> Tree:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    @contextmanager
    def place(self, path: str, *, make: bool = False) -> Iterator[Place]:
        """Open the folder of a file below this one.

        Args:
            path: Relative path with ``/``.
            make: Whether to create folders that are missing.

        Raises:
            Refusal: If the path leads out of the folder, goes through a link, or a folder on it is missing.
        """
        *folders, name = parts_of(path)
        current = os.dup(self._descriptor)
        try:
            for folder in folders:
                current = _step(current, folder, make)
            yield Place(current, name)
        finally:
            os.close(current)

    def remove_empty(self, path: str) -> None:
        """Remove the folders of a path, from the inside out, as long as they are empty."""
        folders = parts_of(path)[:-1]
        while folders:
            try:
                with self.place("/".join(folders)) as place:
                    os.rmdir(place.name, dir_fd=place.folder)
            except (OSError, Refusal):
                return
            folders = folders[:-1]


def parts_of(path: str) -> list[str]:
    """Split a relative path.

    Raises:
        Refusal: If it is absolute, has parts such as ``..``, or is no name of a file.
    """
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise Refusal("the path does not stay below the folder")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise Refusal("the path holds characters that no file name has") from None
    return parts


def read_place(place: Place, *, keep: bool = False) -> ReadFile:
    """Read a file and its SHA-256.

    Args:
        place: Where it is.
        keep: Whether to keep its bytes, if it is not larger than 1 GiB.

    Raises:
        Refusal: If it is missing, a link, no regular file, or changes meanwhile.
    """
    try:
        with open(open_regular(place.name, os.O_RDONLY | os.O_NOFOLLOW, place.folder), "rb") as file:
            before = os.fstat(file.fileno())
            keep = keep and before.st_size <= _MOST
            data = file.read() if keep else b""
            digest = hashlib.sha256(data) if keep else hashlib.file_digest(file, "sha256")
            after = os.fstat(file.fileno())
    except OSError as error:
        raise Refusal(_reason(error)) from None
    if not same_state(before, after):
        raise Refusal("another program is writing it")
    return ReadFile(after, digest.hexdigest(), data)


def stat_place(place: Place) -> os.stat_result:
    """Return the state of a file, without reading it.

    Raises:
        Refusal: If it is missing, a link, or no regular file.
    """
    try:
        state = place.stat()
    except OSError as error:
        raise Refusal(_reason(error)) from None
    if not stat.S_ISREG(state.st_mode):
        raise Refusal(_REASONS[errno.ELOOP if stat.S_ISLNK(state.st_mode) else errno.EINVAL])
    return state


def same_state(one: os.stat_result, other: os.stat_result) -> bool:
    """Return whether two states are those of one unchanged file."""
    return os.path.samestat(one, other) and (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _step(current: int, folder: str, make: bool) -> int:
    """Open a folder in another one, which is closed."""
    if make:
        try:
            os.mkdir(folder, dir_fd=current)
        except FileExistsError:
            pass
        else:
            os.fsync(current)
    try:
        inner = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=current)
    except OSError as error:
        raise Refusal(_folder_reason(current, folder, error)) from None
    os.close(current)
    return inner


def _folder_reason(current: int, folder: str, error: OSError) -> str:
    try:
        if stat.S_ISLNK(Place(current, folder).stat().st_mode):
            return "a folder on its path is a symbolic link"
    except OSError:
        pass
    return "its folder is missing" if error.errno == errno.ENOENT else f"its folder: {error.strerror}"


def _reason(error: OSError) -> str:
    return _REASONS.get(error.errno or 0, f"it cannot be read: {error.strerror or error}")


def root_of(path: str | os.PathLike[str]) -> Path:
    """Return the real path of a folder."""
    return Path(os.path.realpath(full_path(path)))
