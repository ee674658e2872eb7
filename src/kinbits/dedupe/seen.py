"""The files of a report as they are now: size, time, SHA-256, and a thumbnail for the review."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from kinbits._util import Bar, processors
from kinbits.dedupe.decisions import Choice, Decisions, FileDecision, decided_group, report_fingerprint
from kinbits.dedupe.groups import KINDS, DuplicateItem, Kind, seconds
from kinbits.dedupe.report import DedupeReport
from kinbits.dedupe.tree import ReadFile, Refusal, Tree, read_place, root_of, stat_place
from kinbits.errors import UsageError

Work = Callable[[ReadFile], str]
CHANGED = "it has changed since the search"


@dataclass(frozen=True)
class SeenFile:
    """A file of a report as it is now.

    Attributes:
        path: Path relative to the root.
        bytes: Size of the file.
        modified: Time of its last change, in seconds since 1970.
        sha256: SHA-256 of its bytes; empty if the file cannot be used.
        note: Why it cannot be used, or empty.
        thumbnail: What the caller made of its bytes.
    """

    path: str
    bytes: int
    modified: float
    sha256: str
    note: str = ""
    thumbnail: str = ""


def root_folder(report: DedupeReport, root: str | Path | None) -> Path:
    """Return the real path of a report's folder; ``root`` replaces the one that the report names."""
    return root_of(report.root if root is None else root)


def see_files(
    items: Iterable[DuplicateItem], root: Path, work: Work | None = None, *, progress: bool = False
) -> dict[str, SeenFile]:
    """Read files of a report, several at a time.

    Args:
        items: The items; each path is read once.
        root: Folder that paths start from.
        work: Makes a text of each file that was read, such as a thumbnail.
        progress: Whether to show progress.

    Raises:
        DataError: If the root cannot be opened.
    """
    unique = list({item.path: item for item in items}.values())
    found: dict[str, SeenFile] = {}
    with Tree(root) as tree, Bar("read", len(unique), progress) as bar:
        for seen in _in_order(lambda item: _see(tree, item, work), unique):
            found[seen.path] = seen
            bar.update(len(found))
    return found


def _in_order(see: Callable[[DuplicateItem], SeenFile], items: list[DuplicateItem]) -> Iterator[SeenFile]:
    """Work in threads, a bounded number of files ahead."""
    ahead = 4 * processors()
    with ThreadPoolExecutor(processors()) as pool:
        for start in range(0, len(items), ahead):
            yield from pool.map(see, items[start : start + ahead])


def _see(tree: Tree, item: DuplicateItem, work: Work | None) -> SeenFile:
    try:
        with tree.place(item.path) as place:
            read = read_place(place, keep=work is not None)
    except Refusal as refusal:
        return SeenFile(item.path, item.bytes, item.modified, "", str(refusal))
    seen = SeenFile(item.path, read.stat.st_size, seconds(read.stat.st_mtime_ns), read.sha256)
    if (item.bytes, item.modified) != (seen.bytes, seen.modified):
        seen = replace(seen, sha256="", note=CHANGED)
    return seen if work is None else replace(seen, thumbnail=work(read))


def fault_of(tree: Tree, item: DuplicateItem) -> str:
    """Return why a file cannot be decided on, by its size and times; empty if nothing is known against it.

    Args:
        tree: The folder of the images.
        item: The file as the search found it.
    """
    try:
        with tree.place(item.path) as place:
            state = stat_place(place)
    except Refusal as refusal:
        return str(refusal)
    same = (item.bytes, item.modified) == (state.st_size, seconds(state.st_mtime_ns))
    return "" if same else CHANGED


def decide(
    report: DedupeReport,
    kinds: Iterable[Kind] = ("bytes",),
    *,
    root: str | Path | None = None,
    progress: bool = False,
) -> Decisions:
    """Keep the representative of each group and remove the others.

    A file that is in several groups, such as a copy with equal files of its own, goes if one of them removes it; then
    those equal files go too.

    Args:
        report: The groups.
        kinds: Kinds of groups to decide; the others are left alone.
        root: The folder of the images, if it was moved.
        progress: Whether to show progress.

    Returns:
        The decisions; files that changed since the search are left undecided, and are in its ``unusable``.

    Raises:
        UsageError: If a kind is unknown.
        DataError: If the folder cannot be opened.
    """
    wanted = set(kinds)
    if wanted - set(KINDS):
        raise UsageError(f"unknown kind '{min(wanted - set(KINDS))}'; known: {', '.join(KINDS)}")
    folder = root_folder(report, root)
    ordered = report.of_kind(*(kind for kind in reversed(KINDS) if kind in wanted))
    seen = see_files((item for group in ordered for item in group), folder, progress=progress)
    chosen: dict[str, Choice] = {}
    groups = []
    for group in ordered:
        paths = tuple(item.path for item in group if seen[item.path].sha256)
        _choose(paths, chosen)
        groups.append(decided_group(group, chosen, paths))
    files = {
        path: FileDecision(path, chosen.get(path), file.bytes, file.modified, file.sha256)
        for path, file in seen.items()
    }
    return Decisions(str(folder), report_fingerprint(report), files, tuple(groups))


def _choose(paths: tuple[str, ...], chosen: dict[str, Choice]) -> None:
    """Keep the first file of a group; none where a looser group has chosen for one of them, as that keeps the best."""
    decided = any(path in chosen for path in paths)
    for place, path in enumerate(paths):
        chosen.setdefault(path, "keep" if place == 0 and not decided else "remove")
