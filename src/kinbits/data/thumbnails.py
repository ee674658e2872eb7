"""Contact sheets of search results: one row of thumbnails per query, followed by its neighbours."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from kinbits._util import file_aside, full_path, require
from kinbits.errors import UsageError, platform_error

INK, SOFT, PAPER, PANEL = (28, 32, 38), (104, 112, 122), (255, 255, 255), (243, 245, 247)
GOOD, BAD, PLAIN = (22, 150, 82), (208, 52, 44), (190, 196, 202)
SIDE, FRAME, GAP, ROW_GAP, MARGIN, CAPTION, HEADER = 112, 4, 12, 16, 28, 38, 96


@dataclass(frozen=True)
class Tile:
    """One thumbnail with its caption.

    Attributes:
        image: An image of any size; it is fitted into a square with its aspect ratio.
        lines: At most two short lines of caption.
        good: Frame colour: green for True, red for False, grey for None.
    """

    image: Image.Image
    lines: Sequence[str] = ()
    good: bool | None = None


def contact_sheet(
    rows: Sequence[Sequence[Tile]], path: str | Path, *, title: str, subtitle: str = "", legend: bool = True
) -> Path:
    """Draw a contact sheet as a PNG.

    Args:
        rows: One row per query: the query, then its neighbours, nearest first.
        path: The file to write.
        title: Title at the top.
        subtitle: Line below the title.
        legend: Whether to explain the colours of the frames.

    Raises:
        UsageError: If there are no rows.
        PlatformError: If the file cannot be written.
    """
    if not rows or not any(rows):
        raise UsageError("a contact sheet needs at least one query")
    sheet = _Sheet(len(rows), max(map(len, rows)))
    sheet.header(title, subtitle, legend)
    for number, row in enumerate(rows):
        for column, tile in enumerate(row):
            sheet.tile(number, column, tile)
    try:
        with file_aside(full_path(path)) as aside:
            sheet.image.save(aside, format="PNG")
    except OSError as error:
        raise platform_error(f"{path} cannot be written", error) from None
    return Path(path)


def tile_box(row: int, column: int) -> tuple[int, int, int, int]:
    """Return the position of a thumbnail on a contact sheet: left, top, right, bottom in pixels.

    Args:
        row: Number of the row, from 0.
        column: 0 for the query, from 1 for its neighbours.
    """
    cell = SIDE + 2 * FRAME
    neighbours = MARGIN + cell + 3 * GAP  # the queries have a separate panel on the left
    left = FRAME + (MARGIN if column == 0 else neighbours + (column - 1) * (cell + GAP))
    top = FRAME + HEADER + row * (cell + CAPTION + ROW_GAP)
    return left, top, left + SIDE, top + SIDE


def placeholder(text: str) -> Image.Image:
    """Return an image that shows a text, for a tile without a picture."""
    image = Image.new("RGB", (SIDE, SIDE), PANEL)
    draw, font = ImageDraw.Draw(image), _font(13)
    letters = max(1, int(SIDE / draw.textlength("n", font)))
    lines = textwrap.wrap(text, letters)[: SIDE // 18]
    draw.multiline_text((SIDE / 2, SIDE / 2), "\n".join(lines), SOFT, font, anchor="mm", align="center")
    return image


class _Sheet:
    """A contact sheet that is being drawn."""

    def __init__(self, rows: int, columns: int) -> None:
        cell = SIDE + 2 * FRAME
        neighbours = tile_box(0, 1)[0] - FRAME
        width = neighbours + (columns - 1) * (cell + GAP) - GAP + MARGIN
        height = HEADER + rows * (cell + CAPTION + ROW_GAP) + MARGIN - ROW_GAP
        self.image = Image.new("RGB", (max(width, neighbours + 3 * cell), height), PAPER)
        self.draw = ImageDraw.Draw(self.image)
        panel = (MARGIN - GAP, HEADER - GAP, MARGIN + cell + GAP, height - MARGIN + GAP)
        self.draw.rounded_rectangle(panel, radius=8, fill=PANEL)

    def header(self, title: str, subtitle: str, legend: bool) -> None:
        self.draw.text((MARGIN - GAP, 18), title, INK, _font(24, bold=True))
        self.draw.text((MARGIN - GAP, 52), subtitle, SOFT, _font(14))
        if not legend:
            return
        right = self.image.width - MARGIN
        for text, colour in (("another label", BAD), ("same label as the query", GOOD)):
            right -= int(self.draw.textlength(text, _font(14)))
            self.draw.text((right, 24), text, SOFT, _font(14))
            right -= 22
            self.draw.rectangle((right, 26, right + 13, 39), outline=colour, width=FRAME)
            right -= 18

    def tile(self, row: int, column: int, tile: Tile) -> None:
        cell = SIDE + 2 * FRAME
        x, y = (edge - FRAME for edge in tile_box(row, column)[:2])
        colour = PLAIN if tile.good is None else GOOD if tile.good else BAD
        self.draw.rectangle((x, y, x + cell - 1, y + cell - 1), fill=PANEL, outline=colour, width=FRAME)
        picture = _fitted(tile.image)
        offset = ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2)
        self.image.paste(picture, (x + FRAME + offset[0], y + FRAME + offset[1]))
        for line, text in enumerate(tile.lines[:2]):
            font = _font(13, bold=line == 0)
            shown = self._cut(text, font, cell)
            at = (x + (cell - self.draw.textlength(shown, font)) / 2, y + cell + 3 + 17 * line)
            self.draw.text(at, shown, INK if line == 0 else SOFT, font)

    def _cut(self, text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
        """Shorten a text that is wider than its tile."""
        if self.draw.textlength(text, font) <= width:
            return text
        while text and self.draw.textlength(f"{text}…", font) > width:
            text = text[:-1]
        return f"{text.rstrip()}…"


def _fitted(image: Image.Image) -> Image.Image:
    """Scale an image to the size of a tile, with its aspect ratio."""
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    resample = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS
    return image.convert("RGB").resize(size, resample)


def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the font DejaVu Sans, which is part of matplotlib and covers most scripts."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(require("matplotlib").get_data_path()) / "fonts" / "ttf" / name), size)
