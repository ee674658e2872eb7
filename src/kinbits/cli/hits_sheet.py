"""Hits as a picture: one row per query, what it found beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinbits._util import check_parent, printable
from kinbits.cli.messages import note
from kinbits.errors import UsageError

if TYPE_CHECKING:
    from kinbits.data import Dataset, Tile
    from kinbits.index import BatchHits, Roots

MOST_QUERIES, MOST_HITS = 50, 20  # that a sheet shows


def check_sheet(path: Path) -> None:
    """Refuse a picture that cannot be written, before anything is searched.

    Raises:
        UsageError: The name has another extension, or is a folder.
        PlatformError: The folder cannot be written.
    """
    if path.suffix.lower() != ".png" or path.is_dir():
        raise UsageError(f"a sheet is a PNG file, not {path}; give a name that ends in .png")
    check_parent(path, "place for the sheet")


def draw_sheet(
    path: Path, index: Path, names: Sequence[str], queries: Dataset | None, found: BatchHits, roots: Roots
) -> None:
    """Draw a sheet of hits.

    Args:
        path: The file to write.
        index: Folder of the index, for the title.
        names: Of the queries.
        queries: The queries themselves; None where they are texts.
        found: What each of them found.
        roots: Folders that ids and columns may be paths of images in.

    Raises:
        PlatformError: The file cannot be written.
    """
    from kinbits.data import contact_sheet

    rows = []
    for number, (name, hits) in enumerate(zip(names, found, strict=True)):
        if number == MOST_QUERIES:
            break
        shown = hits.to_dicts()[:MOST_HITS]
        rows.append([_query_tile(name, queries, number), *(_hit_tile(hit, roots) for hit in shown)])
    if len(names) > MOST_QUERIES or any(len(hits) > MOST_HITS for hits in found):
        note(f"{path} shows at most {MOST_QUERIES} queries and {MOST_HITS} hits of each; --json shows all")
    subtitle = "left: queries; right: what they found, nearest first"
    contact_sheet(rows, path, title=printable(index.absolute().name), subtitle=subtitle, legend=False)


def _query_tile(name: str, queries: Dataset | None, number: int) -> Tile:
    from kinbits.data import BadImage, Tile, placeholder

    if queries is None or queries.kind != "image":
        return Tile(placeholder(printable(name)), ("query",))
    try:
        return Tile(queries.image(number), ("query", printable(Path(name).name)))
    except BadImage:  # gone since it was encoded
        return Tile(placeholder(printable(name)), ("query",))


def _hit_tile(hit: dict[str, Any], roots: Roots) -> Tile:
    from kinbits.data import Tile, placeholder
    from kinbits.index import concepts_text, find_image

    near = hit["distance"]
    distance = f"{near:.4g}" if isinstance(near, float) else "1 bit" if near == 1 else f"{near} bits"
    through = hit.get("concepts")
    found = concepts_text(through) if isinstance(through, dict) else hit.get("label")
    name = printable(found or Path(str(hit["id"])).name)
    picture = find_image(hit, roots)
    return Tile(placeholder(printable(hit["id"])) if picture is None else picture, (distance, name))
