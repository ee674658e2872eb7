"""What duplicates are searched in: a folder, a data set, or an index, each as arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinbits import hamming
from kinbits._util import full_path, read_regular
from kinbits.data import BadImage, Dataset, Skipped, decode, read_header
from kinbits.dedupe.encoded import Model, encode_contents
from kinbits.dedupe.files import FolderFiles, read_folder
from kinbits.dedupe.groups import DuplicateItem, seconds
from kinbits.dedupe.state import State
from kinbits.errors import DataError, UsageError
from kinbits.hamming import Codes
from kinbits.index import Index, find_image

Load = Callable[[int], Image.Image]
_TRIED = 40  # images, of which nine in ten must be there


@dataclass(frozen=True)
class Collected:
    """A collection; a row is a content, which several files may have.

    Attributes:
        root: The folder, or the name of the index or data set.
        items: The best item of each row.
        files: All items of each row, where there are several.
        taken: Time by EXIF in seconds, ``(n,)``; NaN where unknown.
        load: Returns the image of a row, or raises `BadImage`; None where there are no images.
        sized: Whether width and height of all items are known.
        codes: uint8 ``(n, w)``; None without a model.
        names: SHA-256 of each row's content; empty where there are no files.
        reused: Number of files that were not read again.
        skipped: What cannot be read.
        ignored: Files that are not images, by extension.
        notes: What is to be known, a sentence each.
    """

    root: str
    items: tuple[DuplicateItem, ...]
    files: Mapping[int, tuple[DuplicateItem, ...]]
    taken: NDArray[np.float64]
    load: Load | None
    sized: bool
    codes: Codes | None = None
    names: tuple[bytes, ...] = ()
    reused: int = 0
    skipped: tuple[Skipped, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    @property
    def count(self) -> int:
        """Number of items of all rows."""
        return len(self) + sum(len(files) - 1 for files in self.files.values())

    @property
    def rank(self) -> NDArray[np.int64]:
        """Rank of each row, the best first, ``(n,)``."""
        rank = np.empty(len(self), np.int64)
        rank[sorted(range(len(self)), key=lambda row: self.items[row].order)] = np.arange(len(self))
        return rank

    def has_images(self, seed: int = 0) -> bool:
        """Return whether the images can be read: of an index or a data set, most of a sample of them."""
        if self.load is None or self.names:
            return self.load is not None
        rows = np.random.default_rng(seed).permutation(len(self))[:_TRIED].tolist()
        return 10 * sum(_loads(self.load, row) for row in rows) >= 9 * len(rows)


def _loads(load: Load, row: int) -> bool:
    try:
        load(row)
    except BadImage:
        return False
    return True


def collect_folder(folder: Path, model: Model | None, state: State, *, progress: bool) -> Collected:
    """Read and encode the new and changed images of a folder.

    Raises:
        DataError: If no image can be read.
    """
    read = read_folder(folder, state, progress=progress)
    by_content: dict[bytes, list[DuplicateItem]] = {}
    for path, facts in zip(read.paths, read.facts, strict=True):
        content = read.contents[facts.sha256]
        item = DuplicateItem(path, facts.size, content.width, content.height, seconds(facts.modified))
        by_content.setdefault(facts.sha256, []).append(item)
    for items in by_content.values():
        items.sort(key=lambda item: item.order)
    codes: dict[bytes, bytes] = {}
    skipped = list(read.skipped)
    if model is not None:
        places = {name: folder / items[0].path for name, items in by_content.items()}
        codes, faults = encode_contents(model, places, state, progress=progress)
        skipped += [Skipped(item.path, why) for name, why in faults.items() for item in by_content[name]]
    names = sorted(
        (name for name in by_content if model is None or name in codes), key=lambda name: by_content[name][0].path
    )
    if not names:
        why = f" ({skipped[0].id}: {skipped[0].reason})" if skipped else ""
        raise DataError(f"{folder}: no image can be read{why}; give a folder of images")
    return _of_folder(folder, read, names, by_content, codes, skipped)


def _of_folder(
    folder: Path,
    read: FolderFiles,
    names: Sequence[bytes],
    by_content: Mapping[bytes, list[DuplicateItem]],
    codes: Mapping[bytes, bytes],
    skipped: Sequence[Skipped],
) -> Collected:
    items = tuple(by_content[name][0] for name in names)
    taken = [read.contents[name].taken for name in names]
    return Collected(
        root=str(folder),
        items=items,
        files={row: tuple(by_content[name]) for row, name in enumerate(names) if len(by_content[name]) > 1},
        taken=np.array([np.nan if time is None else time for time in taken], np.float64),
        load=lambda row: _decoded(folder, names[row], by_content[names[row]]),
        sized=True,
        codes=np.frombuffer(b"".join(codes[name] for name in names), np.uint8).reshape(len(names), -1)
        if codes
        else None,
        names=tuple(names),
        reused=read.reused,
        skipped=tuple(sorted(skipped, key=lambda one: one.id)),
        ignored=read.ignored,
        notes=read.notes,
    )


def _decoded(folder: Path, name: bytes, items: Sequence[DuplicateItem]) -> Image.Image:
    """Return the image of a content, from the first file that still has it.

    Raises:
        BadImage: If none has.
    """
    for item in items:
        with suppress(OSError):
            data = read_regular(folder / item.path)
            if hashlib.sha256(data).digest() == name:
                return decode(data)
    raise BadImage("its files were changed or removed meanwhile")


def collect_dataset(data: Dataset, model: Model | None, *, progress: bool) -> Collected:
    """Encode the items of a data set.

    Raises:
        DataError: If no item can be read.
        UsageError: If there is no model: equal bytes are found in folders only.
    """
    if model is None:
        raise UsageError("without a model, equal files are found, and a data set has none; give a folder or a model")
    found = model.encode(data, on_error="skip", progress=progress)
    if not len(found.array):
        raise DataError(f"{data.name}: no item can be read; give images")
    kept = data.select(found.rows)
    return Collected(
        root=data.name,
        items=tuple(DuplicateItem(str(name)) for name in kept.ids.tolist()),
        files={},
        taken=np.full(len(kept), np.nan),
        load=kept.image if kept.kind == "image" else None,
        sized=False,
        codes=found.array,
        skipped=(*data.skipped, *found.skipped),
        ignored=dict(data.ignored),
    )


def collect_index(index: Index, name: str) -> Collected:
    """Take the codes of an index.

    Raises:
        UsageError: If the codes are no bits.
        DataError: If it is empty.
    """
    if index.words != hamming.BITS:
        raise UsageError(f"{name} holds codes that are no bits; make an index of bits, e.g. of method itq")
    stored = index.to_codes()
    if not len(stored):
        raise DataError(f"{name} is empty; add items first")
    roots: list[str] = index.info()["image_roots"]
    ids = stored.ids.tolist()

    def load(row: int) -> Image.Image:
        columns = {column: values[row] for column, values in stored.columns.items()}
        image = find_image({"id": ids[row], **columns}, roots)
        if image is None:
            raise BadImage("no image of that name")
        return image

    return Collected(
        root=roots[0] if len(roots) == 1 else name,
        items=tuple(DuplicateItem(str(one)) for one in ids),
        files={},
        taken=np.full(len(ids), np.nan),
        load=load if roots else None,
        sized=False,
        codes=stored.codes,
    )


def with_facts(item: DuplicateItem, root: str) -> DuplicateItem:
    """Return an item with the facts of its file, if the root is a folder that has it."""
    path = full_path(root) / item.path
    if item.bytes or not path.is_file():
        return item
    info = path.stat()
    item = replace(item, bytes=info.st_size, modified=seconds(info.st_mtime_ns))
    try:
        header = read_header(path.read_bytes(), path.suffix.lower())
    except (BadImage, OSError):
        return item
    return replace(item, width=header.width, height=header.height)


def given(source: Any) -> Index | Dataset | Path | Any:
    """Tell a folder of images from an index, by what it holds."""
    if isinstance(source, (str, Path)):
        path = full_path(source)
        if path.is_dir():
            return Index.open(path) if (path / "manifest.json").is_file() else path
    return source
