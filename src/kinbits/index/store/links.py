"""Folders outside an index that it refers to: its model, and where its images are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Link:
    """A folder outside the index, known by two paths.

    The relative one holds when index and folder move together, the absolute one when the index moves alone.

    Attributes:
        relative: Path from the folder of the index.
        absolute: Absolute path.
    """

    relative: str
    absolute: str

    @classmethod
    def from_path(cls, path: str, index: Path) -> Link:
        """Describe an absolute path as seen from the folder of an index."""
        return cls(os.path.relpath(os.path.realpath(path), os.path.realpath(index)), path)

    def find(self, index: Path) -> str:
        """Return the absolute path of the folder as it is now.

        It is looked for from the index, at its absolute path, and beside the index; if it is nowhere, the absolute path
        of before is returned.
        """
        here = os.path.realpath(index)
        beside = os.path.join(os.path.dirname(here), os.path.basename(self.absolute))
        places = os.path.normpath(os.path.join(here, self.relative)), self.absolute, beside
        return next(filter(os.path.isdir, places), self.absolute)
