"""Folders of images: one subfolder per class, or flat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kinbits.data.dataset import Dataset
from kinbits.data.file_names import id_of_path
from kinbits.data.items import PathItems
from kinbits.data.left_out import count_left_out
from kinbits.data.sources.captions import read_captions
from kinbits.data.sources.cells import unicode
from kinbits.data.sources.columns import Options, named_classes, to_labels, unique_names
from kinbits.data.sources.walk import FolderFiles, walk
from kinbits.errors import DataError

# fmt: off
SPLIT_FOLDERS = frozenset((
    "train", "training", "trainval", "val", "valid", "validation", "dev", "eval", "evaluation", "test", "testing",
    "query", "gallery", "database",
))
# fmt: on


def open_folder(folder: Path, options: Options) -> Dataset:
    """Open a folder of images: one subfolder per class, or flat (no labels).

    Folders such as train, test and query (`SPLIT_FOLDERS`, case ignored) above the class folders become the column
    ``split``. An image outside these folders has neither split nor label. With ``labels=False``, the names of the class
    folders become the column ``folder``. Hidden and system files are passed over and
    counted. The texts come from ``captions.csv`` or
    ``captions.txt`` in the folder.

    Raises:
        DataError: If the folder has no usable image.
    """
    listing = walk(folder, include_hidden=options.include_hidden)
    names = listing.files
    if not names:
        raise _empty(folder, listing)
    splits, classes = _levels(names)
    guesses, columns = _split_guesses(splits), {"split": splits} if any(splits) else {}
    labels, space = None, None
    if options.unlabelled:
        columns |= {"folder": classes} if any(classes) else {}
    elif any(classes):
        labels, space = to_labels(classes, options, str(folder))
        guesses += [named_classes(space, "folder names")]
    texts, orphans = read_captions(folder, names, options)
    data = Dataset(
        items=PathItems([folder / name for name in names]),
        ids=unique_names([id_of_path(name) for name in names]),
        labels=labels,
        label_space=space,
        texts=texts,
        columns=columns,
        name=unicode(folder.name or str(folder)),
        skipped=(*listing.skipped, *orphans),
        ignored=dict(listing.ignored),
        hidden=dict(listing.hidden),
        links=dict(listing.links),
        from_folders=labels is not None,
        guesses=tuple(guesses),
    )
    return data if options.split is None else _only_split(data, options.split)


def _empty(folder: Path, found: FolderFiles) -> DataError:
    left_out = count_left_out((), found.ignored, found.hidden, {})
    contents = f"saw {left_out}" if left_out else "it holds no files"
    contents += f"; {len(found.skipped)} skipped: {found.skipped[0].reason}" if found.skipped else ""
    videos = "; of videos, extract frames first" if left_out.videos else ""
    return DataError(
        f"no usable image in {folder} ({contents}); images are recognised by their extension (.jpg, .png, .webp, "
        f"...): check the folder, or give a list file or table of paths{videos}"
    )


def _levels(names: Sequence[str]) -> tuple[list[str | None], list[str | None]]:
    """Return split and class of each file from its folders, or None.

    The top folders are splits if all of them, or at least two, have names of splits. Files in other folders then have
    no split.
    """
    folders = [name.split("/")[:-1] for name in names]
    tops = {parts[0] for parts in folders if parts}
    split_tops = {top for top in tops if top.casefold() in SPLIT_FOLDERS}
    has_splits = bool(split_tops) and (split_tops == tops or len(split_tops) > 1)
    if not has_splits:
        return [None] * len(names), [unicode(parts[0]) if parts else None for parts in folders]
    in_split = [bool(parts) and parts[0] in split_tops for parts in folders]
    splits = [parts[0] if inside else None for parts, inside in zip(folders, in_split, strict=True)]
    below = [parts[1:2] if inside else [] for parts, inside in zip(folders, in_split, strict=True)]
    return splits, [unicode(parts[0]) if parts else None for parts in below]


def _split_guesses(splits: Sequence[str | None]) -> list[str]:
    known = sorted({split for split in splits if split is not None})
    if not known:
        return []
    outside = splits.count(None)
    other_images = f" ({outside} images next to them have neither split nor label)" if outside else ""
    return [f"splits from folder names: {', '.join(known)}{other_images}"]


def _only_split(data: Dataset, split: str) -> Dataset:
    splits = list(data.columns.get("split", []))
    if split not in splits:
        known = ", ".join(sorted({one for one in splits if one is not None})) or "none"
        raise DataError(f"{data.name}: no split '{split}'; the splits here are: {known}")
    return data.select(np.array([one == split for one in splits]))
