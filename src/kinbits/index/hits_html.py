"""Hits as HTML, with thumbnails of images that are found on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from html import escape
from typing import TYPE_CHECKING, Any

from kinbits.index.image_places import Roots, Row, image_places
from kinbits.index.tabular import by_column, cell_text

if TYPE_CHECKING:
    from PIL import Image

_SIDE = 96  # pixels of a thumbnail


def find_image(row: Row, roots: Roots) -> Image.Image | None:
    """Return the image whose path is the id or another value of a hit.

    Args:
        row: A hit as a dict.
        roots: Folders that relative paths start from, tried in this order before the present one.
    """
    return next(_images(row, roots), None)


def hits_html(rows: Sequence[Row], roots: Roots, more: int) -> str:
    """Write the hits of one query as a table with a column of thumbnails.

    Args:
        rows: The hits that are shown.
        roots: Folders with images.
        more: Number of hits that are not shown.
    """
    thumbnails = [_thumbnail(row, roots) for row in rows]
    pictures = [thumbnails] if any(thumbnails) else []
    columns = by_column(rows)
    heads = "".join(f"<th>{_escaped(name)}</th>" for name in columns)
    cells = [*pictures, *(list(map(_escaped, values)) for values in columns.values())]
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in zip(*cells, strict=True))
    return f"<table><tr>{'<th></th>' * len(pictures)}{heads}</tr>{body}</table>{_rest(more, 'hits')}"


def batch_html(queries: Sequence[Sequence[Row]], roots: Roots, more: int) -> str:
    """Write one row of hits per query, each hit with its thumbnail, id and distance.

    Args:
        queries: The hits that are shown, by query.
        roots: Folders with images.
        more: Number of queries that are not shown.
    """
    body = "".join(
        f"<tr><th>query {number}</th>{''.join(_cell(row, roots) for row in rows)}</tr>"
        for number, rows in enumerate(queries)
    )
    return f"<table>{body}</table>{_rest(more, 'queries')}"


def _cell(row: Row, roots: Roots) -> str:
    thumbnail = _thumbnail(row, roots)
    lines = [*([thumbnail] if thumbnail else []), _escaped(row["id"]), f"distance {cell_text(row['distance'])}"]
    return f"<td>{'<br>'.join(lines)}</td>"


def _rest(more: int, what: str) -> str:
    return f"<p>... and {more:,} more {what}</p>" if more > 0 else ""


def _thumbnail(row: Row, roots: Roots) -> str:
    from kinbits.data import data_uri

    image = find_image(row, roots)
    return "" if image is None else f'<img src="{data_uri(image, _SIDE)}" alt="{_escaped(row["id"])}">'


def _images(row: Row, roots: Roots) -> Iterator[Image.Image]:
    from kinbits.data import BadImage, decode

    for path, frame in image_places(row, roots):
        with suppress(BadImage, OSError, ValueError):  # damaged, or not allowed
            yield decode(path, frame=frame)


def _escaped(value: Any) -> str:
    return escape(cell_text(value), quote=True)
