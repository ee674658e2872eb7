"""Sources of image files: folders, list files, and lists of paths."""

from __future__ import annotations

import csv
import io
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kinbits.data.dataset import Dataset, Skipped, nothing_usable
from kinbits.data.items import PathItems
from kinbits.data.labels import LabelSpace
from kinbits.data.sources.cells import unicode
from kinbits.data.sources.columns import (
    IMAGE_NAMES,
    TEXT_NAMES,
    Options,
    find_column,
    from_multi_hot,
    given_texts,
    label_array,
    named_classes,
    to_labels,
    unique_names,
)
from kinbits.data.sources.csv import require_distinct
from kinbits.errors import DataError

# fmt: off
EXTENSIONS = frozenset({
    ".avif", ".bmp", ".dib", ".gif", ".hdr", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
    ".mpo", ".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".sgi", ".tga", ".tif", ".tiff", ".webp",
    ".xbm", ".xpm",
})
# fmt: on
CAPTION_FILES = ("captions.csv", "captions.tsv", "captions.txt")
# fmt: off
SPLIT_FOLDERS = frozenset((
    "train", "training", "trainval", "val", "valid", "validation", "dev", "eval", "evaluation", "test", "testing",
    "query", "gallery", "database",
))
# fmt: on
_LARGEST = 2**63
_DIGITS = 4000  # Python cannot parse integers with more digits


@dataclass
class _FolderFiles:
    """Files below a folder.

    Attributes:
        files: Paths of the images, relative to the folder.
        skipped: Images and folders that cannot be read.
        ignored: Number of other files by extension.
    """

    files: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def open_folder(folder: Path, options: Options) -> Dataset:
    """Open a folder of images: one subfolder per class, or flat (no labels).

    Folders such as train, test and query (`SPLIT_FOLDERS`, case ignored) above the class folders become the column
    ``split``. An image outside these folders has neither split nor label. With ``labels=False``, the names of the class
    folders become the column ``folder``. Hidden files are skipped. The texts come from ``captions.csv`` or
    ``captions.txt`` in the folder.

    Raises:
        DataError: If the folder has no usable image.
    """
    listing = _walk(folder)
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
    texts, orphans = _captions(folder, names, options)
    data = Dataset(
        items=PathItems([folder / name for name in names]),
        ids=unique_names([unicode(name) for name in names]),
        labels=labels,
        label_space=space,
        texts=texts,
        columns=columns,
        name=unicode(folder.name or str(folder)),
        skipped=(*listing.skipped, *orphans),
        ignored=dict(listing.ignored),
        from_folders=labels is not None,
        guesses=tuple(guesses),
    )
    return data if options.split is None else _only_split(data, options.split)


def require_file(path: Path, remedy: str) -> None:
    """Check that a path is a regular file, because reading from a pipe or a device can block forever.

    Args:
        path: The path.
        remedy: Last part of the error message, e.g. ``"give the path of a table"``.

    Raises:
        DataError: If the path does not exist, or is not a regular file.
    """
    if path.is_file():
        return
    if path.exists():
        raise DataError(f"{path} is a folder, a pipe or a device, not a file; {remedy}")
    raise DataError(f"no such file or folder: {path}; {remedy}")


def open_paths(paths: Sequence[str | os.PathLike[str]], options: Options, name: str = "files") -> Dataset:
    """Open a list of image files.

    Raises:
        DataError: If none of the files exists.
    """
    root = Path(options.root) if options.root is not None else Path()
    names = [_path_text(row, path, name) for row, path in enumerate(paths)]
    labels, space = label_array(options.labels, options, name)
    texts = given_texts(options, name)
    items = PathItems([root / given for given in names])
    if not len(items):
        raise DataError(f"{name}: the list of paths is empty; give at least one image")
    ids = unique_names([unicode(given) for given in names])
    return drop_missing(Dataset(items, ids, labels, space, texts, name=name), name)


def _path_text(row: int, path: object, source: str) -> str:
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise DataError(
            f"{source}: item {row} (counted from 0) is of type {type(path).__name__}; a list holds paths of images; "
            f"give vectors or pixels as one array (n, d) or (n, h, w, 3)"
        )
    return os.fsdecode(path)


def open_list(path: Path, options: Options) -> Dataset:
    """Open a list file of the field's protocols: ``path 0 1 0 ...`` or ``path 3`` lines.

    The labels of a list ``NAME_img.txt`` can be in ``NAME_label.txt`` in the same folder. Paths start from the folder
    of the list, or from ``root``. If every row has exactly one 1, the labels are single-label.

    Raises:
        DataError: If lines have different numbers of labels, or no file exists.
    """
    split = [_cut_line(line) for line in _list_lines(path)]
    if not split:
        raise DataError(f"{path}: the list is empty; write one 'path label' per line")
    names, rows = [name for name, _ in split], [row for _, row in split]
    width = len(rows[0])
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise DataError(
                f"{path}: item {number} has {len(row)} labels, the first has {width}; use one format per file"
            )
        if any(not -_LARGEST <= label < _LARGEST for label in row):
            raise DataError(f"{path}: item {number} has a label beyond 64 bits; number the classes from 0")
    table = np.array(rows, np.int64).reshape(len(rows), width)
    labels, space = (None, None) if options.unlabelled else _list_labels(table, options, str(path))
    root = Path(options.root) if options.root is not None else path.parent
    data = Dataset(PathItems([root / name for name in names]), unique_names(names), labels, space, name=path.stem)
    return drop_missing(data, f"{path} (paths start from {root}; another folder: root=)")


def drop_missing(data: Dataset, source: str) -> Dataset:
    """Return the collection without the rows whose file is missing or empty.

    Raises:
        DataError: If no row is left.
    """
    assert isinstance(data.items, PathItems)
    faults = {row: fault for row in range(len(data)) if (fault := _fault(data.items.path(row))) is not None}
    kept = data.without(list(faults), list(faults.values())) if faults else data
    if not len(kept):
        raise DataError(f"{source}: {nothing_usable(kept)}")
    return kept


def read_text(path: Path) -> str:
    """Return a UTF-8 text file, without its byte-order mark.

    Raises:
        DataError: If the file is not UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); convert it") from None


def _fault(path: str | os.PathLike[str]) -> str | None:
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):
            return "not a file"
        return None if info.st_size else "file is empty (0 bytes)"
    except FileNotFoundError:
        return "link to a file that is missing" if os.path.islink(path) else "file is missing"
    except (OSError, ValueError) as error:
        return f"file cannot be read: {getattr(error, 'strerror', None) or error}"


def _walk(folder: Path) -> _FolderFiles:
    """List the images below a folder, sorted; links to folders are followed once, after all real folders."""
    listing, visited = _FolderFiles(), set()
    queue, links = [(folder, "")], list[tuple[Path, str]]()
    while queue or links:
        is_link = not queue
        current, prefix = links.pop(0) if is_link else queue.pop(0)
        try:
            info = os.stat(current)
            if (info.st_dev, info.st_ino) in visited:
                listing.skipped.append(Skipped(prefix.rstrip("/"), "link to a folder that is already read"))
                continue
            visited.add((info.st_dev, info.st_ino))
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            name = prefix.rstrip("/") or str(current)
            listing.skipped.append(Skipped(name, f"folder cannot be read: {error.strerror}"))
            continue
        for entry in _visible(entries):
            if entry.is_dir():
                (links if entry.is_symlink() else queue).append((Path(entry.path), f"{prefix}{entry.name}/"))
            else:
                _add_file(entry, prefix, listing)
        links.sort(key=lambda link: link[1])
    listing.files.sort()
    listing.skipped.sort(key=lambda skipped: skipped.id)
    return listing


def _visible(entries: Sequence[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    return (entry for entry in entries if not entry.name.startswith("."))


def _add_file(entry: os.DirEntry[str], prefix: str, listing: _FolderFiles) -> None:
    extension = os.path.splitext(entry.name)[1].lower()
    if extension not in EXTENSIONS:
        if prefix or entry.name not in CAPTION_FILES:
            listing.ignored[extension] += 1
        return
    fault = _fault(entry.path)
    name = prefix + entry.name
    if fault is None:
        listing.files.append(name)
    else:
        listing.skipped.append(Skipped(name, fault))


def _empty(folder: Path, listing: _FolderFiles) -> DataError:
    others = ", ".join(f"{ext or 'no extension'} {n}" for ext, n in listing.ignored.most_common(5))
    contents = f"saw {others}" if others else "it holds no files"
    contents += f"; {len(listing.skipped)} skipped: {listing.skipped[0].reason}" if listing.skipped else ""
    return DataError(
        f"no usable image in {folder} ({contents}); images are recognised by their extension (.jpg, .png, .webp, "
        "...): check the folder, or give a list file or table of paths"
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


def _captions(folder: Path, names: Sequence[str], options: Options) -> tuple[tuple[str, ...] | None, list[Skipped]]:
    """Return one text per image, and the captions without an image; several captions of one image are joined."""
    path = next((folder / name for name in CAPTION_FILES if (folder / name).is_file()), None)
    if path is None:
        return None, []
    by_base: dict[str, list[str]] = {}
    for name in names:
        by_base.setdefault(name.rsplit("/", 1)[-1], []).append(name)
    texts: dict[str, list[str]] = {name: [] for name in names}
    orphans: list[Skipped] = []
    for given, text in _caption_rows(path, options):
        same_name = by_base.get(given, [])
        match = given if given in texts else same_name[0] if len(same_name) == 1 else None
        if match is None:
            orphans.append(Skipped(given, f"{path.name} names it, but no usable image or several have this name"))
        else:
            texts[match].append(text)
    if not any(texts.values()):
        raise DataError(
            f"{path}: no line names an image of the folder; first name: '{orphans[0].id}'"
            if orphans
            else f"{path}: the file holds no captions; write 'path<TAB>text' lines or delete it"
        )
    return tuple(" ".join(texts[name]) for name in names), orphans


def _caption_rows(path: Path, options: Options) -> list[tuple[str, str]]:
    text = read_text(path)
    if path.suffix in (".csv", ".tsv") or re.match(r"(image|file_?name|path)\s*,", text, re.I):
        return _caption_table(path, text, options)
    lines = [line for line in text.splitlines() if line.strip()]
    rows = (line.split("\t", 1) if "\t" in line else line.split(None, 1) for line in lines)
    # Flickr8k writes 'name.jpg#0<TAB>caption' for the first of five captions.
    return [(re.sub(r"#\d+$", "", row[0]), row[1].strip() if len(row) > 1 else "") for row in rows]


def _caption_table(path: Path, text: str, options: Options) -> list[tuple[str, str]]:
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if path.suffix == ".tsv" else ",")
    try:
        columns, rows = [name for name in reader.fieldnames or () if name], list(reader)
    except csv.Error as error:
        raise DataError(f"{path}: not a readable table ({error}); save it as UTF-8 with a header line") from None
    require_distinct(columns, str(path))
    key, caption = find_column(None, IMAGE_NAMES, columns), find_column(options.text_column, TEXT_NAMES, columns)
    if key is None or caption is None:
        raise DataError(f"{path}: needs a header with a file column (file_name) and a text column; has {columns}")
    return [(row[key] or "", (row[caption] or "").strip()) for row in rows]


def _list_lines(path: Path) -> list[str]:
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    label_file = path.with_name(path.name.replace("_img.", "_label."))
    if label_file == path or not label_file.is_file():
        return lines
    labels = [line for line in read_text(label_file).splitlines() if line.strip()]
    if len(labels) != len(lines):
        raise DataError(f"{label_file} has {len(labels)} lines and {path} has {len(lines)}; they must go in parallel")
    return [f"{line.strip()} {label}" for line, label in zip(lines, labels, strict=True)]


def _cut_line(line: str) -> tuple[str, list[int]]:
    """Split a line into the path, which may contain spaces, and the integers at its end."""
    parts = line.split()
    cut = len(parts)
    while cut > 1 and _is_integer(parts[cut - 1]):
        cut -= 1
    name = line.strip() if cut == len(parts) else line.strip().rsplit(None, len(parts) - cut)[0]
    return name, [int(part) for part in parts[cut:]]


def _is_integer(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isdigit() and digits.isascii() and len(digits) < _DIGITS


def _list_labels(rows: np.ndarray, options: Options, source: str) -> tuple[np.ndarray | None, LabelSpace | None]:
    if rows.shape[1] == 0:
        return None, None
    if rows.shape[1] == 1:
        return to_labels(rows[:, 0].tolist(), options, source)
    return from_multi_hot(rows, options.label_names, source)
