"""The files of a folder: contents, sizes and times; only new and changed ones are read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from kinbits._util import Bar, processors, read_regular
from kinbits.data import BadImage, Dataset, PathItems, Skipped, open_dataset, read_header
from kinbits.dedupe.state import Content, KnownFile, State
from kinbits.errors import DataError

BATCH = 64  # files that are read, and kept together
FAULT = "file cannot be read: "


@dataclass(frozen=True)
class FolderFiles:
    """The images of a folder.

    Attributes:
        root: The folder.
        paths: Paths relative to it, ascending; a file that has several names is there once.
        facts: Size, times and content of each file.
        contents: What is known of each content.
        reused: Number of files that were not read again.
        skipped: What cannot be read.
        ignored: Files that are not images, by extension.
        notes: What is to be known about the files, a sentence each.
    """

    root: Path
    paths: tuple[str, ...]
    facts: tuple[KnownFile, ...]
    contents: Mapping[bytes, Content]
    reused: int
    skipped: tuple[Skipped, ...]
    ignored: Mapping[str, int]
    notes: tuple[str, ...] = ()


def read_folder(folder: Path, state: State, *, progress: bool = False) -> FolderFiles:
    """Read the new and changed files of a folder, and keep what was read in the state, batch by batch.

    A file is unchanged if its size and times are; a moved or touched one is read, but its content is known.

    Args:
        folder: The folder.
        state: What earlier searches read.
        progress: Show progress on standard error.

    Raises:
        DataError: If the folder holds no image that can be read.
    """
    listed = open_dataset(folder, labels=False)
    if not isinstance(listed.items, PathItems):
        raise DataError(f"{folder} holds tables of images, not images; open it with kinbits.open_dataset")
    names, notes = _distinct_files(folder, listed)
    known = state.files()
    fresh = [name for name, facts in names.items() if not (name in known and known[name].is_same(facts))]
    facts = {name: known[name] for name in names if name in known}
    skipped = list(listed.skipped)
    with Bar("reading files", len(fresh), progress) as bar, ThreadPoolExecutor(processors()) as pool:
        done = 0
        for some in _batches(fresh, BATCH * processors()):
            found = list(pool.map(lambda name: _read(folder, name, names[name]), some))
            kept = [(name, file) for name, file, _ in found if file is not None]
            state.keep_files(kept, [content for _, _, content in found if content.sha256])
            facts.update(kept)
            skipped += [Skipped(name, content.fault or "") for name, file, content in found if file is None]
            done += len(some)
            bar.update(done)
    contents = state.contents(sorted({facts[name].sha256 for name in names if name in facts}))
    paths = sorted(name for name in names if name in facts and facts[name].sha256 in contents)
    readable = [name for name in paths if contents[facts[name].sha256].fault is None]
    skipped += [Skipped(name, contents[facts[name].sha256].fault or "") for name in paths if name not in set(readable)]
    return FolderFiles(
        folder,
        tuple(readable),
        tuple(facts[name] for name in readable),
        contents,
        len(set(readable) - set(fresh)),
        tuple(skipped),
        dict(listed.ignored),
        notes,
    )


def _batches(names: Sequence[str], size: int) -> Iterator[list[str]]:
    rest = iter(names)
    while some := list(islice(rest, size)):
        yield some


def _distinct_files(folder: Path, listed: Dataset) -> tuple[dict[str, KnownFile], tuple[str, ...]]:
    """Return size and times of each file by its name; further names of one file, such as links, are left out."""
    assert isinstance(listed.items, PathItems)
    found: dict[str, KnownFile] = {}
    seen, repeated = set[tuple[int, int]](), 0
    paths = sorted(dict.fromkeys(listed.items.paths), key=lambda path: (os.path.islink(path), path))
    for path in paths:
        try:
            info = os.stat(path)
        except OSError:  # it was removed meanwhile
            continue
        if (info.st_dev, info.st_ino) in seen:
            repeated += 1
            continue
        seen.add((info.st_dev, info.st_ino))
        name = os.path.relpath(path, folder).replace(os.sep, "/")
        found[name] = KnownFile(info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    note = f"{repeated:,} further names of files that were read (links) are not counted"
    return found, (note,) if repeated else ()


def _read(folder: Path, name: str, facts: KnownFile) -> tuple[str, KnownFile | None, Content]:
    """Return the name of a file, its facts, and its content; no facts if it could not be read at all."""
    try:
        data = read_regular(folder / name)
    except OSError as error:
        return name, None, Content(b"", fault=f"{FAULT}{error.strerror or error}")
    sha256 = hashlib.sha256(data).digest()
    try:
        header = read_header(data, os.path.splitext(name)[1].lower())
    except BadImage as error:
        return name, replace(facts, sha256=sha256), Content(sha256, fault=error.reason)
    return name, replace(facts, sha256=sha256), Content(sha256, header.width, header.height, header.taken)
