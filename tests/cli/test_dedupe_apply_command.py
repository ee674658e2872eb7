"""kinbits dedupe review, decide, apply and undo, from a saved report to files that are moved aside, and back."""

import json
import os

import pytest
from PIL import Image

from kinbits.dedupe import DedupeReport, DuplicateGroup, DuplicateItem


@pytest.fixture
def report(tmp_path):
    """A report of three equal files, saved in a folder."""
    root = tmp_path / "photos"
    names = ["best.jpg", "again/best.jpg", os.fsdecode(b"again/\xff.jpg")]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        with open(root / name, "wb") as file:
            Image.new("RGB", (32, 24), "teal").save(file, "JPEG")
    states = [(root / name).stat() for name in names]
    items = (DuplicateItem(n, s.st_size, 32, 24, s.st_mtime) for n, s in zip(names, states, strict=True))
    DedupeReport(str(root), (DuplicateGroup("bytes", tuple(items)),), items=3).save(tmp_path / "report")
    return tmp_path / "report"


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg"))


def test_from_a_report_to_moved_files_and_back(run, report, tmp_path):
    before = files(tmp_path / "photos")
    ended = run("dedupe", "decide", report)
    assert ended.code == 0
    assert "remove 2 files" in ended.out
    assert "kinbits dedupe apply" in ended.err
    dry = run("dedupe", "apply", report / "decisions.json", "--move-to", "removed", "--dry-run")
    assert "2 files, " in dry.out
    assert "would be moved to" in " ".join(dry.out.split())
    assert files(tmp_path / "photos") == before
    ended = run("dedupe", "apply", report / "decisions.json", "--move-to", "removed", "--json")
    values = json.loads(ended.out)
    assert [file["path"] for file in values["done"]] == ["again/best.jpg", os.fsdecode(b"again/\xff.jpg")]
    assert files(tmp_path / "photos") == ["best.jpg"]
    assert files(tmp_path / "removed") == before[:2]
    ended = run("dedupe", "undo", values["undo"])
    assert "2 files, " in ended.out
    assert "put back in" in ended.out
    assert files(tmp_path / "photos") == before
    assert json.loads(run("dedupe", "undo", values["undo"], "--json").out)["in_place"] == 2


def test_links(run, report, tmp_path):
    run("dedupe", "decide", report, "-o", "d.json")
    ended = run("dedupe", "apply", "d.json", "--link")
    assert "2 files, " in ended.out
    assert (tmp_path / "photos/best.jpg").stat().st_nlink == 3


def test_a_page_is_written(run, report):
    ended = run("dedupe", "review", report)
    assert ended.code == 0
    assert "review.html (" in ended.out
    assert "kinbits dedupe apply" in ended.err
    assert "Carry it out: kinbits dedupe apply decisions.json --move-to FOLDER" in (report / "review.html").read_text()
    pages = json.loads(run("dedupe", "review", report, "-o", "other.html", "--json").out)["pages"]
    assert [os.path.basename(page) for page in pages] == ["other.html"]


def test_wrong_usage_is_one_line_that_names_the_flag(run, report):
    run("dedupe", "decide", report, "-o", "d.json")
    assert "(--move-to or --link)" in run("dedupe", "apply", "d.json").error
    assert "hold one another" in run("dedupe", "apply", "d.json", "--move-to", "photos/removed").error
    assert run("dedupe", "apply", "none.json", "--link").code == 3
    assert run("dedupe", "undo", "none.jsonl").code == 4
    assert run("dedupe", "review", "none").code == 4
    assert "unknown kind 'twins'" in run("dedupe", "decide", report, "--kinds", "twins").error
    run("dedupe", "apply", "d.json", "--move-to", "removed", "--undo-file", "u.jsonl")
    assert "(--undo-file)" in run("dedupe", "apply", "d.json", "--link", "--undo-file", "u.jsonl").error


def test_files_that_are_refused_end_with_the_code_of_wrong_data(run, report, tmp_path):
    run("dedupe", "decide", report, "-o", "d.json")
    place = tmp_path / "photos/again/best.jpg"
    data = place.read_bytes()
    place.write_bytes(b"other")
    for more in (["--dry-run"], ["--dry-run", "--json"], []):
        ended = run("dedupe", "apply", "d.json", "--move-to", "removed", "--undo-file", "u.jsonl", *more)
        assert ended.code == 3
        assert "its size changed" in ended.out
    assert "kinbits dedupe undo" in ended.err
    place.write_bytes(data)
    moved = tmp_path / "removed" / os.fsdecode(b"again/\xff.jpg")
    moved.write_bytes(b"edited")
    for more in (["--dry-run"], ["--json"], []):
        ended = run("dedupe", "undo", "u.jsonl", *more)
        assert ended.code == 3
        assert "other contents" in " ".join(ended.out.split())


def test_decide_warns_of_files_that_changed(run, report, tmp_path):
    assert "warning" not in run("dedupe", "decide", report).err
    (tmp_path / "photos/best.jpg").write_bytes(b"other")
    ended = run("dedupe", "decide", report)
    assert ended.code == 0
    assert "warning: 1 file changed since the search, or cannot be read: left undecided" in " ".join(ended.err.split())
