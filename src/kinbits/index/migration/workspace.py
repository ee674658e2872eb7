"""The folder of a migration, beside its index: the index as it was, and as it will be, both of which can be opened."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kinbits._util import folder_aside
from kinbits.errors import ArtefactError
from kinbits.index.index import Index
from kinbits.index.store.folder import Folder, platform_errors
from kinbits.index.store.linking import linked_state
from kinbits.index.store.state import State

BEFORE, AFTER = "before", "after"


class Workspace:
    """The folder ``INDEX.migration``.

    ``before`` is the index with the model that it had, ``after`` the one with the new model. One of them equals the
    index in its place; what has changed there since is the difference between the two.

    Args:
        index: Folder of the index.

    Attributes:
        path: The folder of the migration.
    """

    def __init__(self, index: Path) -> None:
        place = Path(os.path.realpath(index))
        self.path = place.with_name(f"{place.name}.migration")

    def exists(self) -> bool:
        """Whether there is one."""
        with platform_errors(self.path, "read"):
            return self.path.is_dir()

    def begin(self, index: Index, model: Any, **how: Any) -> None:
        """Make the folder: ``before`` as the index is now, and an empty ``after``; it appears complete, in one step.

        Args:
            index: The index.
            model: The new model.
            how: Further arguments of `Index.create`.

        Raises:
            PlatformError: If it cannot be written.
        """
        with platform_errors(self.path), folder_aside(self.path) as aside:
            self._clear()
            _link(index, aside / BEFORE)
            Index.create(aside / AFTER, model=model, **how)

    def open(self, side: str, model: Any = None) -> Index:
        """Open one of the two indexes.

        Raises:
            ArtefactError: If it is missing or damaged.
        """
        try:
            return Index.open(self.path / side, model)
        except ArtefactError as error:
            raise ArtefactError(f"{error}; or give the migration up: kinbits index migrate INDEX --discard") from None

    @contextmanager
    def renewed(self, side: str, index: Index) -> Iterator[State]:
        """Link the present contents of an index aside; after the block without an error, they are one of the two.

        Raises:
            PlatformError: If it cannot be written.
        """
        target = self.path / side
        with platform_errors(target), folder_aside(target, replace=True) as aside:
            yield _link(index, aside)

    def remove(self) -> None:
        """Remove the folder; nothing of the index itself.

        Raises:
            PlatformError: If it cannot be removed.
        """
        with platform_errors(self.path):
            self._clear()
            self.path.rename(self._gone)
            shutil.rmtree(self._gone)

    @property
    def _gone(self) -> Path:
        """Where the folder is while it is removed."""
        return self.path.with_name(f".{self.path.name}.gone")

    def _clear(self) -> None:
        """Remove what a killed removal has left."""
        shutil.rmtree(self._gone, ignore_errors=True)


def _link(index: Index, target: Path) -> State:
    """Make a folder with the present contents of an index."""
    folder = Folder(target)
    folder.create()
    with index._change(), folder.writing():
        place = index._folder
        assert place is not None  # `migrate` opens indexes in folders
        return folder.commit(linked_state(index._state, place.path, folder, generation=index._state.generation))
