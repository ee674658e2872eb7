"""Which items of an index belong to the folder that it follows, and which folder that is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from kinbits._util import full_path
from kinbits.encoding import CodesFile
from kinbits.errors import UsageError
from kinbits.index.changes import codes_of
from kinbits.index.store.ids import MOST_BYTES
from kinbits.index.store.links import Link
from kinbits.index.store.state import State
from kinbits.index.sync.listing import Listing
from kinbits.index.sync.plan import Item
from kinbits.index.sync.reading import names_image
from kinbits.index.sync.records import Records, code_digest

PATH = "path"
"""Column of the present path of an item whose id is another one, because its file was moved."""
_NUMBERED = re.compile(r"(.+) \([0-9]+\)", re.DOTALL)


@dataclass
class Tracked:
    """The items of an index as its folder sees them.

    Attributes:
        items: The items that belong to the folder.
        ids: Ids of all items.
        digests: Id -> digest of the code, of all items.
        strangers: Paths of items with the name of an image, but without a record and without a file, if the index has
            no records yet; they may have come from elsewhere, so they stay.
    """

    items: list[Item] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    digests: dict[str, bytes] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)

    def new_id(self, path: str) -> str | None:
        """Choose and take an id for a new file: its path, with a number where an item has this id; None if too long."""
        id_, number = path, 1
        while id_ in self.ids:
            number += 1
            id_ = f"{path} ({number})"
        if len(id_.encode()) > MOST_BYTES:
            return None
        self.ids.add(id_)
        return id_


def stored_items(state: State) -> CodesFile:
    """Return the ids, codes and paths of all items.

    Raises:
        UsageError: If the index has whole numbers as ids.
        ArtefactError: If the index is damaged.
    """
    if state.id_kind == "int":
        raise UsageError(
            "this index has whole numbers as ids, and an index that follows a folder has paths; create it from the "
            "folder"
        )
    return codes_of(state, [PATH], "the index")


def tracked_items(state: State, stored: CodesFile, records: Records, listing: Listing) -> Tracked:
    """Find the items that belong to a folder.

    These are the items with a record, and those whose id is a file of the folder. If there are no records at all, the
    column `path` tells of files that were moved before they were lost. All other items came from elsewhere.
    """
    lost = records.root is None
    alone = all(os.path.realpath(root) == os.path.realpath(listing.folder) for root in state.image_roots)
    found = Tracked()
    by_path: dict[str, Item] = {}
    for id_, code, path in zip(stored.ids.tolist(), stored.codes, stored.columns[PATH], strict=True):
        found.ids.add(id_)
        digest = found.digests[id_] = code_digest(code)
        known = records.files.get(id_)
        followed = id_ in records.files or (lost and _was_moved(id_, path))
        record = known[0] if known is not None and known[1] == digest else None
        item = Item(id_, path if followed and isinstance(path, str) else id_, record)
        if id_ in records.files or item.path in listing.rows:
            other = by_path.get(item.path)
            if other is None or _rank(item, records) > _rank(other, records):
                by_path[item.path] = item
        elif lost and alone and names_image(item.path):
            found.strangers.append(item.path)
    found.items = list(by_path.values())
    return found


def _was_moved(id_: str, path: object) -> bool:
    """Return whether an id and a path are such as a synchronisation writes for a moved file."""
    numbered = _NUMBERED.fullmatch(id_)
    name = id_ if numbered is None else numbered[1]
    return isinstance(path, str) and names_image(path) and names_image(name) and not os.path.isabs(path)


def _rank(item: Item, records: Records) -> tuple[bool, bool]:
    """Return which of two items with the same path belongs to its file: the one that is higher."""
    return item.id in records.files, item.path == item.id


def followed_folder(given: str | os.PathLike[str] | None, records: Records, state: State, index: Path) -> Path:
    """Return the folder that an index follows: the given one, the remembered one, or that of its images.

    Raises:
        UsageError: If none is given, and none or several are known.
    """
    if given is not None:
        return full_path(given)
    if records.root is not None:
        return Path(records.root.find(index) or records.root.absolute)
    if len(state.image_roots) == 1:
        return Path(state.image_roots[0])
    raise UsageError(f"the index knows {_several(state.image_roots)} of images; name the one that it is to follow")


def _several(roots: Iterable[str]) -> str:
    known = list(roots)
    return f"{len(known)} folders ({', '.join(known)})" if known else "no folder"


def link_to(folder: Path, index: Path) -> Link:
    """Return the link to the folder that an index follows."""
    return Link.from_path(os.fspath(folder), index)
