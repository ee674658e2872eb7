"""Links to folders outside an index: its model and its images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kinbits.errors import KinbitsError


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

    def find(self, index: Path, fingerprint: str | None = None) -> str | None:
        """Return the present absolute path of the folder; None if it is missing.

        It is searched at the relative path, at the absolute path, and beside the index; a model also in the package.

        Args:
            index: Folder of the index.
            fingerprint: Of a model, which the folder must hold; None takes the first folder that is there.
        """
        here = os.path.realpath(index)
        beside = os.path.join(os.path.dirname(here), os.path.basename(self.absolute))
        places = os.path.normpath(os.path.join(here, self.relative)), self.absolute, beside
        found = next((place for place in places if _holds(place, fingerprint)), None)
        return _in_package(fingerprint) if found is None and fingerprint is not None else found


class Links:
    """Finds the folders of the links of one index, and makes links to write.

    A link whose folder is not found stays as it was read: a change must not lose it, nor take another folder for it.
    """

    def __init__(self, index: Path) -> None:
        self._index = index
        self._missing: dict[str, Link] = {}  # by absolute path

    def find(self, link: Link, fingerprint: str | None = None) -> str:
        """Return the path that `Link.find` returns; the absolute one if the folder is missing."""
        found = link.find(self._index, fingerprint)
        if found is not None:
            self._missing.pop(found, None)
            return found
        self._missing[link.absolute] = link
        return link.absolute

    def make(self, path: str) -> Link:
        """Return the link to an absolute path."""
        return self._missing.get(path) or Link.from_path(path, self._index)


def _in_package(fingerprint: str) -> str | None:
    """Return the folder of a model inside the package, which can be installed elsewhere than when the link was made."""
    from kinbits.model import shipped_folders

    return next((str(folder) for folder in shipped_folders() if _holds(str(folder), fingerprint)), None)


def _holds(folder: str, fingerprint: str | None) -> bool:
    """Return whether a folder is there and holds the model with a fingerprint, if one is given."""
    from kinbits.model import describe_model

    if fingerprint is None or not os.path.isdir(folder):
        return os.path.isdir(folder)
    try:
        return describe_model(folder).fingerprint == fingerprint
    except KinbitsError:  # no model, or a damaged one
        return False
