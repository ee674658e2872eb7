"""Links to folders outside an index: its model and its images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Link:
    """A folder outside the index, known by two paths.

    The relative path is valid if index and folder move together, the absolute one if only the index moves.

    Attributes:
        relative: Path from the folder of the index.
        absolute: Absolute path.
    """

    relative: str
    absolute: str

    @classmethod
    def from_path(cls, path: str, index: Path) -> Link:
        """Make a link from an absolute path, for the folder of an index."""
        return cls(os.path.relpath(os.path.realpath(path), os.path.realpath(index)), path)

    def find(self, index: Path) -> str:
        """Return the present absolute path of the folder.

        It is searched at the relative path, at the absolute path, and beside the index. If it is missing, the absolute
        path is returned.
        """
        here = os.path.realpath(index)
        beside = os.path.join(os.path.dirname(here), os.path.basename(self.absolute))
        places = os.path.normpath(os.path.join(here, self.relative)), self.absolute, beside
        return next(filter(os.path.isdir, places), self.absolute)
