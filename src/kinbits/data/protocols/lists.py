"""Collections whose parts are defined by list files: NUS-WIDE, MS-COCO, ImageNet-100, MIR-Flickr-25k."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kinbits.data.dataset import Dataset
from kinbits.data.items import PathItems
from kinbits.data.labels import LabelSpace
from kinbits.data.protocols.required_files import RequiredFiles, check_images
from kinbits.data.sources.columns import from_multi_hot
from kinbits.data.sources.list_files import ListFile, read_list
from kinbits.data.splits import SplitRows
from kinbits.errors import DataError

TRAIN, QUERY, DATABASE = (
    "train.txt | train_img.txt",
    "test.txt | test_img.txt | query.txt | query_img.txt",
    "database.txt | database_img.txt",
)
LIST_FILES = (TRAIN, QUERY, DATABASE)
LIST_REQUIRED_FILES = RequiredFiles(
    ("lists",), LIST_FILES, "lines 'path 0 1 0 ...' or 'path 3', or *_img.txt with *_label.txt beside"
)


def open_lists(folder: Path, *, train_in_database: bool = False) -> tuple[Dataset, SplitRows]:
    """Open the images in the lists of a folder, and their train, query and database parts.

    The id of an image is its file name, because the folders in the paths differ between copies. If two folders have
    files with the same name, the ids are paths. Leading folders that do not exist (``/home/someone/coco/``) are
    removed. Repeated lines of a list count once, and queries are removed from the database; notes describe both.

    Args:
        folder: Folder with the lists; the images are in this folder, a subfolder, or the parent folder.
        train_in_database: Whether to add the train rows to the database if they are not in its list.

    Returns:
        All images, and the rows of the parts.

    Raises:
        DataError: If a list or an image is missing, or the lists contradict each other.
    """
    lists = {part: read_list(LIST_REQUIRED_FILES.file(folder, wanted)) for part, wanted in _wanted().items()}
    _check_widths(lists.values())
    paths = [path for one in lists.values() for path in _located(one, folder)]
    ids, first, rows = np.unique(_names(paths, folder), return_index=True, return_inverse=True)
    labels = np.concatenate([one.labels for one in lists.values()])
    _check_agree(labels, labels[first][rows], paths)
    found, space = _labelled(labels[first], str(folder))
    data = Dataset(PathItems([paths[row] for row in first]), ids, found, space, name=folder.name)
    return data, _parts(lists, rows, train_in_database)


def _wanted() -> dict[str, str]:
    return {"train": TRAIN, "query": QUERY, "database": DATABASE}


def _names(paths: list[str], folder: Path) -> np.ndarray:
    """Return the file names of the images, or their paths if file names are not unique."""
    names = [os.path.basename(path) for path in paths]
    if len(set(names)) < len(set(paths)):
        names = [os.path.relpath(path, folder) for path in paths]
    return np.array(names, np.str_)


def _parts(lists: dict[str, ListFile], rows: np.ndarray, train_in_database: bool) -> SplitRows:
    """Return the rows of train, query and database, each row once, with notes about corrections."""
    ends = np.cumsum([len(one.images) for one in lists.values()])[:-1]
    train, query, database = (_once(part) for part in np.split(rows, ends))
    notes = [
        f"{one.path.name} repeats {len(one.images) - len(kept):,} images; each counts once"
        for one, kept in zip(lists.values(), (train, query, database), strict=True)
        if len(kept) < len(one.images)
    ]
    leaked = np.isin(database, query)
    if leaked.any():
        notes.append(f"{int(leaked.sum()):,} queries were also in the database list, and were removed from it")
        database = database[~leaked]
    absent = train[~np.isin(train, database)] if train_in_database else train[:0]
    if len(absent):
        notes.append(f"{len(absent):,} train images were not in the database list, and were added to it")
        database = np.concatenate([database, absent])
    return SplitRows(train, query, database, notes=tuple(notes))


def _once(rows: np.ndarray) -> np.ndarray:
    """Return the rows without repetitions, in the order of the list."""
    return np.asarray(rows[np.sort(np.unique(rows, return_index=True)[1])], np.int64)


def _check_widths(lists: Iterable[ListFile]) -> None:
    widths = {str(one.path): one.labels.shape[1] for one in lists}
    if len(set(widths.values())) > 1:
        counts = ", ".join(f"{path} {width}" for path, width in widths.items())
        raise DataError(f"the lists have different numbers of labels per line: {counts}; use lists of one source")
    if not min(widths.values()):
        raise DataError(f"{next(iter(widths))} has no labels, which define relevance; write 'path 0 1 0 ...'")


def _check_agree(labels: np.ndarray, expected: np.ndarray, paths: list[str]) -> None:
    differ = np.flatnonzero((labels != expected).any(axis=1))
    if len(differ):
        raise DataError(
            f"{len(differ):,} images have different labels in two lists (first: {paths[differ[0]]}); use lists of one "
            "source"
        )


def _labelled(labels: np.ndarray, source: str) -> tuple[np.ndarray, LabelSpace]:
    if labels.shape[1] > 1:
        return from_multi_hot(labels, None, source)
    single = labels[:, 0]
    if single.min() < -1:
        raise DataError(f"{source}: label {single.min()}; class numbers start at 0, and -1 means unlabelled")
    return single, LabelSpace(tuple(map(str, range(int(single.max()) + 1))))


def _located(one: ListFile, folder: Path) -> list[str]:
    """Return the absolute paths of the images of a list, without leading folders that do not exist."""
    base, cut = _base(one, folder)
    paths = [os.path.normpath(os.path.join(base, *image.split("/")[cut:])) for image in one.images]
    check_images(paths, one.path)
    return paths


def _base(one: ListFile, folder: Path) -> tuple[Path, int]:
    """Return the base folder and the number of leading folders to remove, by a majority vote of a few images."""
    bases = [folder, *sorted(entry for entry in folder.iterdir() if entry.is_dir()), folder.parent]
    votes: Counter[tuple[Path, int]] = Counter()
    for image in one.images[:: max(1, len(one.images) // 8)]:
        steps = image.split("/")
        absolute = [(Path("/"), 1)] if image.startswith("/") else []
        tails = (*absolute, *((base, cut) for cut in range(len(steps)) for base in bases if steps[cut]))
        votes.update([(base, cut) for base, cut in tails if base.joinpath(*steps[cut:]).is_file()][:1])
    return votes.most_common(1)[0][0] if votes else (folder, one.images[0].startswith("/"))
