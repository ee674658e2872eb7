"""Required files of protocols: search in the data folders, and errors for missing files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kinbits.errors import DataError

Folder = str | os.PathLike[str] | None
OR = " | "


@dataclass(frozen=True)
class RequiredFiles:
    """Required files of a protocol.

    Attributes:
        names: Possible names of the folder (or single file) in a data folder, the best first.
        files: Required files in that folder; alternatives are separated by ``" | "``.
        get: Contents of the files, and where to get them.
        places: Further folders to search, e.g. of a system package.
    """

    names: tuple[str, ...]
    files: tuple[str, ...] = ()
    get: str = ""
    places: tuple[Path, ...] = ()

    def find(self, data_dir: Folder) -> Path:
        """Return the first complete folder (or file) with one of the names.

        Args:
            data_dir: Folder to search first; it can also be the folder of the files.

        Raises:
            DataError: If no folder is complete; the message lists the missing files and the searched folders.
        """
        existing = list(self._existing(data_dir))
        complete = next((path for path in existing if not self._missing_files(path)), None)
        if complete is not None:
            return complete
        raise DataError(self._incomplete(existing[0]) if existing else self._not_found(data_dir))

    def missing(self, data_dir: Folder = None) -> str:
        """Return a message about the missing files and where to put them; empty if all files exist."""
        try:
            self.find(data_dir)
        except DataError as error:
            return str(error)
        return ""

    def file(self, folder: Path, wanted: str) -> Path:
        """Return the first existing alternative of a required file; the first alternative if none exists."""
        paths = [folder / name for name in wanted.split(OR)]
        return next((path for path in paths if path.exists()), paths[0])

    def describe(self) -> str:
        """Return the names of the files, and where to get them."""
        inside = f" with {', '.join(_either(wanted) for wanted in self.files)}" if self.files else ""
        return f"{' or '.join(self.names)}{inside}" + (f"; {self.get}" if self.get else "")

    def _existing(self, data_dir: Folder) -> Iterator[Path]:
        for folder in [*data_folders(data_dir), *self.places]:
            yield from (folder / name for name in self.names if (folder / name).exists())
        if data_dir is not None and self.files and not self._missing_files(Path(data_dir)):
            yield Path(data_dir)

    def _missing_files(self, folder: Path) -> list[str]:
        return [wanted for wanted in self.files if not self.file(folder, wanted).exists()]

    def _incomplete(self, folder: Path) -> str:
        missing = self._missing_files(folder)
        more = f" ({self.get})" if self.get else ""
        return f"{folder} lacks {', '.join(_either(wanted) for wanted in missing)}; put {_it(missing)} there{more}"

    def _not_found(self, data_dir: Folder) -> str:
        places = list(map(str, [*data_folders(data_dir), *self.places]))
        where = f"is in none of {', '.join(places)}" if len(places) > 1 else f"is not in {places[0]}"
        inside = f" (a folder with {', '.join(_either(wanted) for wanted in self.files)})" if self.files else ""
        more = f" ({self.get})" if self.get else ""
        return (
            f"{' or '.join(self.names)}{inside} {where}; put it there, or name its folder in "
            f"KINBITS_DATA or data_dir={more}"
        )


def check_images(paths: Sequence[str | Path], source: object) -> None:
    """Check that all image files of a published collection exist and are not empty.

    Raises:
        DataError: If a file is missing or empty; the message has the number of such files and the first one.
    """
    absent = [path for path in paths if not _is_nonempty_file(path)]
    if absent:
        raise DataError(
            f"{source}: {len(absent):,} of {len(paths):,} files are missing or empty, the first is {absent[0]}; put "
            "them there, or get those of the original"
        )


def data_folders(data_dir: Folder) -> list[Path]:
    """Return the folders that are searched for the data of protocols, in order."""
    named = [Path(part) for part in os.environ.get("KINBITS_DATA", "").split(os.pathsep) if part]
    return [*([Path(data_dir)] if data_dir is not None else []), *named, cache_folder()]


def cache_folder() -> Path:
    """Return the last folder that is searched for the data of protocols."""
    return Path.home() / ".cache" / "kinbits" / "data"


def _either(wanted: str) -> str:
    return wanted.replace(OR, " or ")


def _it(wanted: Sequence[str]) -> str:
    return "it" if len(wanted) == 1 else "them"


def _is_nonempty_file(path: str | Path) -> bool:
    try:
        info = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(info.st_mode) and info.st_size > 0
