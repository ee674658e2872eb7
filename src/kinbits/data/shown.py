"""HTML of texts and images for notebooks."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape
from io import BytesIO

from PIL import Image

from kinbits._util import shortened

SIDE, _LONGEST = 96, 200


def data_uri(image: Image.Image, side: int = SIDE, quality: int = 80) -> str:
    """Return a thumbnail of an image as a data URI.

    Args:
        image: An image of any mode and size.
        side: Maximum width and height in pixels.
        quality: Quality of the WebP file, 0 to 100.
    """
    small = image.convert("RGB")
    small.thumbnail((side, side))
    file = BytesIO()
    small.save(file, "WEBP", quality=quality)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def as_html(text: str, pictures: Mapping[str, Iterable[tuple[Image.Image, str]]]) -> str:
    """Return HTML of a text and of rows of images with titles; all text is escaped.

    Args:
        text: Text of one or several lines.
        pictures: Heading of a row -> images with their titles.
    """
    lines = "<br>".join(map(_escaped, text.splitlines()))
    rows = (
        f"<tr><th>{_escaped(heading)}</th><td>{''.join(_image(*one) for one in row)}</td></tr>"
        for heading, row in pictures.items()
    )
    return f"<div><p>{lines}</p><table>{''.join(rows)}</table></div>"


def _image(picture: Image.Image, title: str) -> str:
    return f'<img src="{data_uri(picture)}" title="{_escaped(title)}" alt="{_escaped(title)}">'


def _escaped(text: str) -> str:
    return escape(shortened(text, _LONGEST), quote=True)
