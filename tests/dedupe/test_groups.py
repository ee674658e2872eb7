"""Groups and reports: order, bytes to spare, JSON, CSV and tables."""

import csv
import io

import pytest

import kinbits
from kinbits.dedupe import Calibration, DedupeReport, DuplicateGroup, DuplicateItem, KnownMatch

ODD = "b/\udcff\x1b[2J.jpg"


def report():
    big, small = DuplicateItem("a.jpg", 1000, 40, 20, 5.0), DuplicateItem(ODD, 900, 20, 10, 4.0)
    other = DuplicateItem("c.jpg", 800, 20, 10, 4.0, 7, 0.5)
    groups = (
        DuplicateGroup("bytes", (small, DuplicateItem("d.jpg", 900, 20, 10, 4.0))),
        DuplicateGroup("copies", (big, small, other)),
    )
    found = Calibration(12, 256, 9, 0.25, 4, recall={"grey": 0.5, "flip": 1.0}, false_pairs=(0.0, 0.25))
    known = (KnownMatch("a.jpg", "removed", "x9", 3),)
    return DedupeReport("/photos", groups, found, items=9, known=known, settings={"radius": None}, notes=("A note.",))


def test_json_gives_the_report_back(tmp_path):
    made = report()
    assert DedupeReport.from_json(made.to_json()) == made
    made.save(tmp_path / "report")
    assert DedupeReport.open(tmp_path / "report") == made


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "groups": 3}'])
def test_what_is_no_report_is_refused(text):
    with pytest.raises(kinbits.ArtefactError):
        DedupeReport.from_json(text)


def test_csv_has_a_line_for_each_image():
    rows = list(csv.DictReader(io.StringIO(report().to_csv())))
    assert [row["path"] for row in rows] == ["b/\\udcff\x1b[2J.jpg", "d.jpg", "a.jpg", "b/\\udcff\x1b[2J.jpg", "c.jpg"]
    assert [row["representative"] for row in rows] == ["True", "False", "True", "False", "False"]
    assert rows[-1]["distance"] == "7"
    assert rows[0]["distance"] == ""


def test_a_table_fits_the_terminal_and_cannot_change_it():
    text = str(report())
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "radius 12 of 256 bits" in text
    assert "A note." in text
    assert "removed" in text
    assert len(repr(report()).splitlines()) == 1


def test_bytes_to_spare_count_each_file_once():
    assert report().spare_bytes == 900 + 800 + 900


def test_the_best_item_has_most_pixels_then_bytes_then_age():
    items = [
        DuplicateItem("small", 999, 10, 10, 1.0),
        DuplicateItem("young", 50, 20, 20, 9.0),
        DuplicateItem("old", 50, 20, 20, 2.0),
        DuplicateItem("large", 60, 20, 20, 9.0),
    ]
    assert [item.path for item in sorted(items, key=lambda item: item.order)] == ["large", "old", "young", "small"]


def test_a_group_has_a_known_kind_and_two_items():
    with pytest.raises(kinbits.DataError, match="no kind"):
        DuplicateGroup("twins", (DuplicateItem("a"), DuplicateItem("b")))
    with pytest.raises(kinbits.DataError, match="two or more"):
        DuplicateGroup("bytes", (DuplicateItem("a"),))
