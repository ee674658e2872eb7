"""The review page as a file: complete, small, safe, and true to the report."""

import json
import os
import re

import pytest
from album import ODD, group, make_album, write_picture

from kinbits.dedupe import DedupeReport, write_review
from kinbits.errors import DataError, PlatformError, UsageError


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    return make_album(tmp_path_factory.mktemp("review"))


@pytest.fixture(scope="module")
def page(album):
    (path,) = write_review(album.report, album.root.with_name("review.html"), then="Then & so on")
    return path


def embedded(page):
    """Return the data and the thumbnails of a page."""
    text = page.read_text()
    found = dict(re.findall(r'<script type="application/json" id="([\w-]+)">(.*?)</script>', text, re.DOTALL))
    return json.loads(found.pop("data")), [json.loads(part) for part in found.values()]


def test_the_page_reaches_for_nothing_outside(page):
    text = page.read_text()
    outside = re.findall(r"""(?:src|href)=["']?([^"')\s>]+)""", text)
    assert {address for address in outside if not address.startswith(("data:", "#"))} == set()
    assert "default-src 'none'" in text
    for word in ("@import", "url(", "fetch(", "XMLHttpRequest", "http://", "https://", "innerHTML", "eval("):
        assert word not in text


def test_names_are_data_and_never_markup(page):
    text = page.read_text()
    assert "<b>&" not in text
    data, _ = embedded(page)
    odd = next(file for file in data["files"] if file["path"] == ODD)
    assert odd["shown"].isprintable()
    assert "\\udcff" in odd["shown"]
    assert odd["href"].endswith("%FF%FE%27%22%3Cb%3E%26%0A.jpg")


def test_the_page_holds_the_report_and_the_files_as_they_are(album, page):
    data, thumbnails = embedded(page)
    assert [[data["files"][file]["path"] for file in one["files"]] for one in data["groups"]] == [
        [item.path for item in one] for one in album.report
    ]
    assert [one["kind"] for one in data["groups"]] == ["bytes", "bytes", "copies"]
    assert data["groups"][2]["distances"] == [0, 1, 2]
    made = album.decisions("bytes", "copies").files
    for file in data["files"]:
        seen = made[file["path"]]
        assert (file["bytes"], file["modified"], file["sha256"]) == (seen.bytes, seen.modified, seen.sha256)
    assert sum(map(len, thumbnails)) == len(data["files"])
    assert all(uri.startswith("data:image/webp;base64,") for part in thumbnails for uri in part)


def test_a_thumbnail_has_an_upper_bound(tmp_path):
    """Noise is the worst for WebP."""
    import numpy as np
    from PIL import Image

    for name in ("a.png", "b.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)).save(tmp_path / name)
    report = DedupeReport(str(tmp_path), (group("bytes", tmp_path, ["a.png", "b.png"]),))
    (page,) = write_review(report, tmp_path / "r.html")
    for uri in embedded(page)[1][0]:
        assert 500 < len(uri) <= 8000 + 30


def test_many_files_are_divided_between_pages(album, tmp_path):
    paths = write_review(album.report, tmp_path / "r.html", files_per_page=6)
    assert [path.name for path in paths] == ["r.html", "r-2.html"]
    data = [embedded(path)[0] for path in paths]
    assert [len(one["groups"]) for one in data] == [2, 1]
    assert [(one["part"], one["parts"]) for one in data] == [(1, 2), (2, 2)]
    assert 'href="r-2.html"' in paths[0].read_text()


def test_files_that_changed_or_are_no_pictures_are_shown_but_cannot_be_removed(tmp_path):
    album = make_album(tmp_path)
    (album.root / "big.png").write_bytes(b"no picture any more")
    (album.root / "sub/small.jpg").unlink()
    (album.root / ODD).unlink()
    (album.root / ODD).symlink_to("/etc/passwd")
    (page,) = write_review(album.report, tmp_path / "r.html")
    data, thumbnails = embedded(page)
    notes = {file["path"]: file["note"] for file in data["files"] if file["note"]}
    assert notes == {
        "big.png": "it has changed since the search",
        "sub/small.jpg": "it is missing",
        ODD: "it is a symbolic link",
    }
    assert [file["sha256"] for file in data["files"] if file["note"]] == ["", "", ""]
    assert [uri for part in thumbnails for uri in part].count("") == 3


def test_a_file_that_is_no_picture_but_unchanged_has_no_thumbnail(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        write_picture(tmp_path / name, 1)
    made = group("bytes", tmp_path, ["a.jpg", "b.jpg"])
    for item in made:
        path = tmp_path / item.path
        path.write_bytes(b"x" * item.bytes)
        os.utime(path, (item.modified, item.modified))
    report = DedupeReport(str(tmp_path), (group_as_now(made, tmp_path),))
    (page,) = write_review(report, tmp_path / "r.html")
    data, thumbnails = embedded(page)
    assert thumbnails == [["", ""]]
    assert all(len(file["sha256"]) == 64 for file in data["files"])


def group_as_now(made, root):
    from dataclasses import replace

    items = (replace(item, modified=(root / item.path).stat().st_mtime) for item in made)
    return replace(made, items=tuple(items))


def test_a_report_without_groups_is_a_page_too(tmp_path):
    (page,) = write_review(DedupeReport(str(tmp_path), ()), tmp_path / "r.html")
    assert "Duplicates in" in page.read_text()


def test_what_cannot_be_written_or_read_says_so(album, tmp_path):
    with pytest.raises(PlatformError, match="cannot write in /proc"):
        write_review(album.report, "/proc/r.html")
    with pytest.raises(DataError, match="cannot be opened"):
        write_review(album.report, tmp_path / "r.html", root=tmp_path / "none")
    with pytest.raises(UsageError, match="files_per_page"):
        write_review(album.report, tmp_path / "r.html", files_per_page=1)
