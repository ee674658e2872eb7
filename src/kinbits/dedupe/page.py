"""The review page: groups with thumbnails, keys and buttons to decide, in one file that loads nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kinbits._util import check_at_least, check_parent, full_path, printable, render, write_text
from kinbits.data import BadImage, data_uri, decode
from kinbits.dedupe.decisions import FORMAT, VERSION, report_fingerprint
from kinbits.dedupe.groups import KINDS, DuplicateGroup, DuplicateItem, Kind
from kinbits.dedupe.pictures import picture_classes
from kinbits.dedupe.report import DedupeReport
from kinbits.dedupe.seen import SeenFile, root_folder, see_files
from kinbits.dedupe.tree import ReadFile

FILES_PER_PAGE = 10_000
THUMBNAIL_BYTES = 6000
"""Upper bound of a thumbnail; in the page it takes a third more."""
PAGE_FOLDER = Path(__file__).parent
"""Folder of the style sheet, modules and templates of the review, which another page can use too."""
_TEMPLATE = PAGE_FOLDER / "review.html.j2"
_MODULES = ("elements.js", "review_board.js", "review_choices.js", "review_view.js")  # each after those it imports
_IMPORT = re.compile(r"^import [^;]+;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)
_SIZES = ((192, 60), (176, 50), (160, 45), (128, 40), (96, 35), (64, 30), (32, 20))  # pixels, quality
_THUMBS_EACH = 64  # thumbnails that the page reads at once
KIND_TEXTS: dict[Kind, tuple[str, str]] = {
    "bytes": ("Same file", "The files are equal, byte by byte. Nothing is lost but a name and a place."),
    "pixels": ("Same pixels", "The pictures are equal; the files differ, for example in their EXIF data."),
    "copies": ("Copies", "Resized, recompressed, cropped or edited versions of one picture."),
    "bursts": ("Bursts", "Other shots of the same moment. They are not copies: look before you remove one."),
    "similar": ("Similar", "Other pictures of the same kind of thing. They are not copies."),
}
"""Title of each kind of group, and what its files are."""


def write_review(
    report: DedupeReport,
    path: str | Path,
    *,
    root: str | Path | None = None,
    files_per_page: int = FILES_PER_PAGE,
    then: str = "",
    progress: bool = False,
) -> list[Path]:
    """Write a page on which a person decides what to keep and what to remove.

    The page has a thumbnail of each file, works without a network, and writes a file for `Decisions.open`. A thumbnail
    takes 5 kB for most photos and at most 8 kB, all else about 0.4 kB: 55 MB for 10,000 files. A report of more files
    than ``files_per_page`` gets further pages, with ``-2``, ``-3`` and so on in their names.

    Args:
        report: The groups.
        path: The page, an HTML file.
        root: The folder of the images, if it was moved.
        files_per_page: Maximum number of files on a page; a group is never divided.
        then: What the page says after a person saved decisions.
        progress: Whether to show progress.

    Returns:
        The paths of all pages.

    Raises:
        DataError: If the folder of the images cannot be opened.
        PlatformError: If a page cannot be written, or jinja2 is not installed.
    """
    check_at_least(2, files_per_page=files_per_page)
    target, folder = full_path(path), root_folder(report, root)
    check_parent(target, "page")
    parts = list(_parts(report, files_per_page)) or [[]]
    paths = [target.with_stem(f"{target.stem}-{part}") if part > 1 else target for part in range(1, len(parts) + 1)]
    for part, groups in enumerate(parts, 1):
        seen = see_files((item for group in groups for item in group), folder, _thumbnail, progress=progress)
        data = {**_data(report, groups, seen, folder), "part": part, "parts": len(parts), "then": then}
        thumbnails = [file.thumbnail for file in seen.values()]
        html = render(
            _TEMPLATE,
            title=f"Duplicates in {printable(folder.name or folder)}",
            lead=_lead(report, folder),
            part=part,
            others=[one.name for one in paths] if len(paths) > 1 else [],
            thumbnails=[thumbnails[start : start + _THUMBS_EACH] for start in range(0, len(seen), _THUMBS_EACH)],
            data=data,
            script=joined_modules([PAGE_FOLDER / name for name in _MODULES]),
        )
        write_text(paths[part - 1], html)
    return paths


def joined_modules(paths: Sequence[Path]) -> Any:
    """Return modules of JavaScript as one script, marked as safe for a template.

    Args:
        paths: The modules, each after those that it imports; no two have a name in common.
    """
    from markupsafe import Markup  # comes with jinja2

    return Markup("".join(_EXPORT.sub("", _IMPORT.sub("", path.read_text("utf-8"))) for path in paths))


def _parts(report: DedupeReport, most: int) -> Iterator[list[DuplicateGroup]]:
    """Yield the groups of each page."""
    part: list[DuplicateGroup] = []
    count = 0
    for group in report.of_kind(*KINDS):
        if part and count + len(group) > most:
            yield part
            part, count = [], 0
        part.append(group)
        count += len(group)
    if part:
        yield part


def _lead(report: DedupeReport, folder: Path) -> str:
    radius = "" if report.radius is None else f"; radius {report.radius} bits"
    count = f"{report.items:,} images, " if report.items else ""
    groups = f"{len(report):,} group{'' if len(report) == 1 else 's'}"
    return f"{printable(folder)}: {count}{groups}{radius}{f'; {report.model}' if report.model else ''}."


def _data(
    report: DedupeReport, groups: list[DuplicateGroup], seen: dict[str, SeenFile], folder: Path
) -> dict[str, Any]:
    """Return what the script of the page reads."""
    items = {item.path: item for group in groups for item in group}
    places = {path: place for place, path in enumerate(seen)}
    return {
        "format": FORMAT,
        "version": VERSION,
        "root": str(folder),
        "report": report_fingerprint(report),
        "thumbs_each": _THUMBS_EACH,
        "kinds": {kind: {"title": title, "text": text} for kind, (title, text) in KIND_TEXTS.items()},
        "classes": picture_classes(groups, places),
        "files": [_file(items[path], file, folder) for path, file in seen.items()],
        "groups": [
            {
                "kind": group.kind,
                "why": group.reason,
                "files": [places[item.path] for item in group],
                "distances": [item.distance for item in group],
                "similarities": [item.similarity for item in group],
            }
            for group in groups
        ],
    }


def _file(item: DuplicateItem, seen: SeenFile, folder: Path) -> dict[str, Any]:
    return {
        "path": seen.path,
        "shown": printable(seen.path),
        "href": "file://" + quote(os.fsencode(folder / seen.path)),
        "bytes": seen.bytes,
        "modified": seen.modified,
        "width": item.width,
        "height": item.height,
        "sha256": seen.sha256,
        "note": seen.note,
    }


def _thumbnail(read: ReadFile) -> str:
    """Return a data URI of at most `THUMBNAIL_BYTES`, or nothing if the file cannot be decoded."""
    try:
        image = decode(read.data)
    except BadImage:
        return ""
    image.thumbnail((_SIZES[0][0],) * 2)
    uris = (data_uri(image, side, quality) for side, quality in _SIZES)
    return next((uri for uri in uris if len(uri) * 3 <= THUMBNAIL_BYTES * 4), "")
