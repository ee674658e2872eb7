"""What a synchronisation has to do: which files are new, changed, moved or gone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kinbits.index.sync.listing import FileStamp
from kinbits.index.sync.reading import file_of

Hashes = Callable[[Iterable[str]], dict[str, bytes]]


@dataclass(frozen=True)
class FileRecord:
    """What is known of the file of an item.

    Attributes:
        stamp: Its size and time when its item was encoded.
        content: SHA-256 of its contents then.
    """

    stamp: FileStamp
    content: bytes


@dataclass(frozen=True)
class Item:
    """An item of an index that belongs to the folder.

    Attributes:
        id: Its id.
        path: Path of its file, from the folder.
        record: What is known of the file that its code was made from; None if nothing is.
    """

    id: str
    path: str
    record: FileRecord | None = None


@dataclass
class Plan:
    """Steps of a synchronisation.

    Attributes:
        unchanged: Items whose files are as recorded.
        touched: Items whose files have another time but the recorded contents, with their new records.
        changed: Items whose files have other contents.
        unknown: Items whose files have no record; they are encoded again and compared.
        moved: Items whose files are at other paths, with these paths and their new records.
        gone: Items whose files are gone.
        kept: Path -> reason, for items whose files are there but cannot be read.
        new: Paths of files without an item.
        contents: Path -> SHA-256, of files that were read for the plan.
    """

    unchanged: list[Item] = field(default_factory=list)
    touched: list[tuple[Item, FileRecord]] = field(default_factory=list)
    changed: list[Item] = field(default_factory=list)
    unknown: list[Item] = field(default_factory=list)
    moved: list[tuple[Item, str, FileRecord]] = field(default_factory=list)
    gone: list[Item] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    new: list[str] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)

    @property
    def to_encode(self) -> int:
        """Number of files to encode."""
        return len(self.changed) + len(self.unknown) + len(self.new)


def make_plan(
    items: Sequence[Item],
    stamps: Mapping[str, FileStamp],
    fault: Callable[[str], str | None],
    hashes: Hashes,
    *,
    checksum: bool = False,
) -> Plan:
    """Compare the items of an index with the files of a folder.

    A file counts as moved if nothing is left at the recorded path and a new file has the recorded size and contents.
    So a copy never takes the id of a file that still exists.

    Args:
        items: The items; no two have the same path.
        stamps: Path -> stamp, of all files that can be read.
        fault: Returns why a path that is not among them cannot be read; None if the file is gone.
        hashes: Returns the SHA-256 of the contents of paths.
        checksum: Compare the contents of all files, not only of those with another size or time.
    """
    plan = Plan()
    paths = {item.path for item in items}
    plan.new = sorted(path for path in stamps if path not in paths)
    doubtful: list[Item] = []
    for item in items:
        stamp = stamps.get(item.path)
        if stamp is None:
            reason = fault(item.path)
            if reason is None:
                plan.gone.append(item)
            else:
                plan.kept[item.path] = reason
        elif item.record is None:
            plan.unknown.append(item)
        elif item.record.stamp.same(stamp) and not checksum:
            plan.unchanged.append(item)
        else:
            doubtful.append(item)
    _compare(plan, doubtful, stamps, hashes)
    _find_moved(plan, stamps, hashes)
    return plan


def _compare(plan: Plan, doubtful: Sequence[Item], stamps: Mapping[str, FileStamp], hashes: Hashes) -> None:
    """Tell changed files from those that only have another time, by their contents where the size is equal."""
    sizes = {item.path: item.record.stamp.size for item in doubtful if item.record is not None}
    equal = [path for path, size in sizes.items() if stamps[path].size == size]
    plan.contents |= hashes(equal)
    unread = set(equal) - set(plan.contents)
    for item in doubtful:
        content = plan.contents.get(item.path)
        if item.path in unread:
            plan.kept[item.path] = "file cannot be read"
        elif item.record is not None and content == item.record.content:
            plan.touched.append((item, FileRecord(stamps[item.path], content)))
        else:
            plan.changed.append(item)


def _find_moved(plan: Plan, stamps: Mapping[str, FileStamp], hashes: Hashes) -> None:
    """Take from the gone items and the new files those that belong together."""
    lost: dict[bytes, list[Item]] = defaultdict(list)
    for item in sorted(plan.gone, key=lambda item: item.path):
        if item.record is not None:
            lost[item.record.content].append(item)
    sizes = {item.record.stamp.size for items in lost.values() for item in items if item.record is not None}
    contents = hashes(path for path in plan.new if stamps[path].size in sizes)
    plan.contents |= contents
    found: dict[bytes, list[str]] = defaultdict(list)
    for path, content in contents.items():
        if content in lost:
            found[content].append(path)
    for content, paths in found.items():
        for item, path in _pairs(lost[content], paths):
            plan.moved.append((item, path, FileRecord(stamps[path], content)))
    moved, taken = {item.id for item, _, _ in plan.moved}, {path for _, path, _ in plan.moved}
    plan.gone = [item for item in plan.gone if item.id not in moved]
    plan.new = [path for path in plan.new if path not in taken]


def _pairs(items: Sequence[Item], paths: Sequence[str]) -> list[tuple[Item, str]]:
    """Pair items with paths of equal contents: all frames of a file move with it, and keep their numbers."""
    files = _paired_files(dict.fromkeys(file_of(item.path) for item in items), dict.fromkeys(map(file_of, paths)))
    chosen = []
    for item in items:
        file = file_of(item.path)
        if file in files:
            chosen.append((item, files[file] + item.path[len(file) :]))
    there = set(paths)
    return [(item, path) for item, path in chosen if path in there]


def _paired_files(old: Iterable[str], new: Iterable[str]) -> dict[str, str]:
    """Pair files of equal contents: those with the same name first, the others in order."""
    left, others = list(old), []
    chosen: dict[str, str] = {}
    for path in new:
        same = next((file for file in left if _name(file) == _name(path)), None)
        if same is None:
            others.append(path)
        else:
            left.remove(same)
            chosen[same] = path
    return chosen | dict(zip(left, others, strict=False))


def _name(path: str) -> str:
    return path.rpartition("/")[2]
