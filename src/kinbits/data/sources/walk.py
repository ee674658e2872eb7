"""The walk over a folder: its images, and what is skipped, hidden or no image. No file is opened."""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from kinbits.data.dataset import Skipped
from kinbits.data.file_kinds import EXTENSIONS
from kinbits.data.file_names import id_of_path
from kinbits.data.left_out import ALREADY_READ, NOT_A_FILE
from kinbits.data.optional_readers import missing_reader
from kinbits.data.sources.hidden import hidden_kind

CAPTION_FILES = ("captions.csv", "captions.tsv", "captions.txt")


@dataclass
class FolderFiles:
    """Files below a folder.

    Attributes:
        files: Paths of the images, relative to the folder, sorted.
        skipped: Images and folders that cannot be read, with the reasons.
        ignored: Number of other files by extension.
        hidden: Number of hidden and system files and folders by name; what is in such a folder is not counted.
        links: Number of links that were followed: to ``"files"`` and to ``"folders"``.
    """

    files: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    hidden: Counter[str] = field(default_factory=Counter)
    links: Counter[str] = field(default_factory=Counter)


@dataclass
class _Folder:
    path: Path
    prefix: str
    is_link: bool = False


def walk(folder: Path, *, include_hidden: bool = False) -> FolderFiles:
    """List the images below a folder; links to folders are followed once, after all real folders.

    Args:
        folder: The folder; its own name may be hidden.
        include_hidden: Whether to list hidden and system files and folders too.
    """
    found, visited = FolderFiles(), set[tuple[int, int]]()
    queue, links = deque([_Folder(folder, "")]), list[_Folder]()
    while queue or links:
        if not queue:
            links.sort(key=lambda link: link.prefix, reverse=True)
            queue.append(links.pop())
        current = queue.popleft()
        entries = _entries(current, visited, found)
        for entry in entries:
            kind = None if include_hidden else hidden_kind(entry.name)
            if kind is not None:
                found.hidden[kind] += 1
            elif _is_folder(entry):
                inner = _Folder(Path(entry.path), f"{current.prefix}{entry.name}/", entry.is_symlink())
                (links if inner.is_link else queue).append(inner)
            else:
                _add_file(entry, current.prefix, found)
    found.files.sort()
    found.skipped.sort(key=lambda skipped: skipped.id)
    return found


def file_fault(path: str | os.PathLike[str]) -> str | None:
    """Return why a path is no file that could be read; None for a regular file that is not empty."""
    try:
        info = os.stat(path)
    except FileNotFoundError:
        return "link to a file that is missing" if os.path.islink(path) else "file is missing"
    except (OSError, ValueError) as error:
        return f"file cannot be read: {getattr(error, 'strerror', None) or error}"
    if not stat.S_ISREG(info.st_mode):
        return NOT_A_FILE
    return None if info.st_size else "file is empty (0 bytes)"


def _entries(folder: _Folder, visited: set[tuple[int, int]], found: FolderFiles) -> list[os.DirEntry[str]]:
    """Return the entries of a folder, sorted; [] if it is already read, or cannot be read."""
    try:
        info = os.stat(folder.path)
        if (info.st_dev, info.st_ino) in visited:
            found.skipped.append(Skipped(id_of_path(folder.prefix.rstrip("/")), ALREADY_READ))
            return []
        with os.scandir(folder.path) as opened:
            entries = sorted(opened, key=lambda entry: entry.name)
    except OSError as error:
        name = folder.prefix.rstrip("/") or str(folder.path)
        found.skipped.append(Skipped(id_of_path(name), f"folder cannot be read: {error.strerror}"))
        return []
    visited.add((info.st_dev, info.st_ino))
    found.links["folders"] += folder.is_link
    return entries


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # e.g. a link to itself
        return False


def _add_file(entry: os.DirEntry[str], prefix: str, found: FolderFiles) -> None:
    extension = os.path.splitext(entry.name)[1].lower()
    if extension not in EXTENSIONS:
        if prefix or entry.name not in CAPTION_FILES:
            found.ignored[extension] += 1
        return
    fault = file_fault(entry.path) or missing_reader(extension)
    name = prefix + entry.name
    if fault is not None:
        found.skipped.append(Skipped(id_of_path(name), fault))
        return
    found.files.append(name)
    found.links["files"] += entry.is_symlink()
