"""Contact sheets: queries, and what they found."""

import pytest
from PIL import Image

from kinbits.data import Tile, contact_sheet
from kinbits.data.thumbnails import BAD, GOOD, HEADER, MARGIN
from kinbits.errors import UsageError


def tile(colour, good=None, size=(40, 20), lines=("1 bit", "cat")):
    return Tile(Image.new("RGB", size, colour), lines, good)


def test_frames_tell_right_from_wrong(tmp_path):
    path = contact_sheet([[tile("blue"), tile("blue", True), tile("blue", False)]], tmp_path / "s.png", title="T")
    with Image.open(path) as opened:
        sheet = opened.convert("RGB")
    row = [sheet.getpixel((x, HEADER + 30)) for x in range(sheet.width)]
    assert GOOD in row
    assert BAD in row
    assert row.index(GOOD) < row.index(BAD)
    assert (0, 0, 255) in [sheet.getpixel((x, HEADER + 60)) for x in range(MARGIN, MARGIN + 100)]


def test_rows_of_unequal_length_long_labels_and_odd_shapes_fit(tmp_path):
    rows = [
        [tile("red", lines=("a label that is much too long for its tile",)), tile("red", True, (5, 300))],
        [tile("red", size=(1, 1))],
        [tile("red"), tile("red", False, (3000, 10)), tile("red", lines=())],
    ]
    path = contact_sheet(rows, tmp_path / "s.png", title="Título 標題", subtitle="ß")
    with Image.open(path) as sheet:
        assert sheet.width > 300
        assert sheet.height > 3 * 112


def test_no_queries_no_sheet(tmp_path):
    with pytest.raises(UsageError):
        contact_sheet([], tmp_path / "s.png", title="T")
    assert not (tmp_path / "s.png").exists()
