"""Where the files of named data are looked for, and what to say when they are not there."""

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
    """The files of a protocol.

    Attributes:
        names: Names of the folder (or of the one file) in a data folder, the best first.
        files: What must lie in that folder; alternatives stand in one text, separated by ``" | "``.
        get: What the files hold and where to get them.
        places: Further folders to look in, where a package of the system puts such data.
    """

    names: tuple[str, ...]
    files: tuple[str, ...] = ()
    get: str = ""
    places: tuple[Path, ...] = ()

    def find(self, data_dir: Folder) -> Path:
        """Return the first folder (or file) of these names that is complete.

        Args:
            data_dir: A folder to look in first; may itself be the folder with the files.

        Raises:
            DataError: If there is none; says what is missing and where it is expected.
        """
        found = list(self._existing(data_dir))
        complete = next((path for path in found if not self._lacks(path)), None)
        if complete is not None:
            return complete
        raise DataError(self._lacking(found[0]) if found else self._nowhere(data_dir))

    def missing(self, data_dir: Folder = None) -> str:
        """Say what is missing and where it is expected; empty when all files are there."""
        try:
            self.find(data_dir)
        except DataError as error:
            return str(error)
        return ""

    def file(self, folder: Path, wanted: str) -> Path:
        """Return the first alternative of one of the ``files`` that exists in the folder."""
        paths = [folder / name for name in wanted.split(OR)]
        return next((path for path in paths if path.exists()), paths[0])

    def describe(self) -> str:
        """Name the files and where to get them."""
        inside = f" with {', '.join(_either(wanted) for wanted in self.files)}" if self.files else ""
        return f"{' or '.join(self.names)}{inside}" + (f"; {self.get}" if self.get else "")

    def _existing(self, data_dir: Folder) -> Iterator[Path]:
        for folder in [*data_folders(data_dir), *self.places]:
            yield from (folder / name for name in self.names if (folder / name).exists())
        if data_dir is not None and self.files and not self._lacks(Path(data_dir)):
            yield Path(data_dir)

    def _lacks(self, folder: Path) -> list[str]:
        return [wanted for wanted in self.files if not self.file(folder, wanted).exists()]

    def _lacking(self, folder: Path) -> str:
        lacks = self._lacks(folder)
        more = f" ({self.get})" if self.get else ""
        return f"{folder} lacks {', '.join(_either(wanted) for wanted in lacks)}; put {_it(lacks)} there{more}"

    def _nowhere(self, data_dir: Folder) -> str:
        places = list(map(str, [*data_folders(data_dir), *self.places]))
        where = f"is in none of {', '.join(places)}" if len(places) > 1 else f"is not in {places[0]}"
        inside = f" (a folder with {', '.join(_either(wanted) for wanted in self.files)})" if self.files else ""
        more = f" ({self.get})" if self.get else ""
        return (
            f"{' or '.join(self.names)}{inside} {where}; put it there, or name its folder in "
            f"KINBITS_DATA or data_dir={more}"
        )


def check_images(paths: Sequence[str | Path], source: object) -> None:
    """Refuse a collection of which an image file is missing or empty: its numbers would be another's.

    Raises:
        DataError: If there are such files; the message counts them and names the first.
    """
    absent = [path for path in paths if not _holds_something(path)]
    if absent:
        raise DataError(
            f"{source}: {len(absent):,} of {len(paths):,} files are missing or empty, the first is {absent[0]}; put "
            "them there, or get those of the original"
        )


def data_folders(data_dir: Folder) -> list[Path]:
    """List the folders that named data are looked for in, in order."""
    named = [Path(part) for part in os.environ.get("KINBITS_DATA", "").split(os.pathsep) if part]
    return [*([Path(data_dir)] if data_dir is not None else []), *named, cache_folder()]


def cache_folder() -> Path:
    """Return where downloaded or hand-placed data of named protocols are looked for last."""
    return Path.home() / ".cache" / "kinbits" / "data"


def _either(wanted: str) -> str:
    return wanted.replace(OR, " or ")


def _it(wanted: Sequence[str]) -> str:
    return "it" if len(wanted) == 1 else "them"


def _holds_something(path: str | Path) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > 0
