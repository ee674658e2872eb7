"""Folders as people have them: hidden and system files, videos, links, pipes, names of any bytes, files that vanish."""

import json
import os
import socket
import tempfile
from pathlib import Path

import numpy as np
import pytest
from tiny import encoded, image_folder, picture

from kinbits.data import open_dataset, readable
from kinbits.data.sources import walk as walking
from kinbits.errors import DataError

# name -> the kind that the report counts it as
SYSTEM = {
    ".DS_Store": ".DS_Store",
    "._0.png": "._*",
    ".hidden.png": ".*",
    "Thumbs.db": "Thumbs.db",
    "desktop.ini": "desktop.ini",
    ".git/x.png": ".git",
    ".Trashes/x.png": ".Trashes",
    "@eaDir/x.png": "@eaDir",
    "#recycle/x.png": "#recycle",
    "$RECYCLE.BIN/x.png": "$RECYCLE.BIN",
    "__MACOSX/x.png": "__MACOSX",
    "System Volume Information/x.png": "System Volume Information",
}


def reasons(data):
    return {skipped.id: skipped.reason for skipped in data.skipped}


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encoded(picture()))


@pytest.mark.parametrize("name", SYSTEM)
def test_system_files_are_passed_over_counted_and_read_when_asked(tmp_path, name):
    write(tmp_path, "cat/0.png", f"cat/{name}")
    data = open_dataset(tmp_path)
    assert data.ids.tolist() == ["cat/0.png"]
    assert data.hidden == {SYSTEM[name]: 1}
    assert data.skipped == ()
    assert str(data.left_out) == f"1 hidden ({SYSTEM[name]})"
    everything = open_dataset(tmp_path, include_hidden=True)
    assert everything.hidden == {}
    assert (f"cat/{name}" in everything.ids.tolist()) == name.endswith(".png")


def test_a_hidden_folder_that_is_named_is_read(tmp_path):
    write(tmp_path, ".thumbnails/a.png")
    assert open_dataset(tmp_path / ".thumbnails").ids.tolist() == ["a.png"]


def test_parquet_shards_next_to_system_files_are_a_table(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image": [encoded(picture())]}), tmp_path / "0.parquet")
    (tmp_path / "Thumbs.db").touch()
    assert len(open_dataset(tmp_path)) == 1


def test_the_report_is_one_line_and_json(tmp_path):
    image_folder(tmp_path, {"cat": 2})
    write(tmp_path, *(f"cat/._{n}.png" for n in range(9)), "@eaDir/a.png", "@eaDir/b.png", ".git/c.png", ".x", ".y")
    for name in ("a.MOV", "b.mov", "cat/c.mp4", "notes.txt", "README"):
        (tmp_path / name).write_text("x")
    (tmp_path / "cat" / "zero.jpg").touch()
    os.mkfifo(tmp_path / "cat" / "pipe.jpg")
    data = open_dataset(tmp_path)
    assert str(data.left_out) == (
        "13 hidden (._* 9, .* 2, .git 1, ...), 3 videos (.mov 2, .mp4 1), 1 unreadable (file is empty (0 bytes)), "
        "1 pipe, socket or device, 2 other files (.txt 1, no extension 1)"
    )
    told = json.loads(json.dumps(data.left_out.to_dict()))
    assert told["hidden"] == {"._*": 9, ".*": 2, ".git": 1, "@eaDir": 1}
    assert told["videos"] == {".mov": 2, ".mp4": 1}
    assert told["others"] == {".txt": 1, "": 1}
    assert sum(told["unreadable"].values()) == 2
    assert "3 videos (.mov 2, .mp4 1)" in data.describe()
    assert not data.select([0]).left_out


def test_a_clean_folder_has_nothing_to_report(tmp_path):
    data = open_dataset(image_folder(tmp_path, {"cat": 1}))
    assert not data.left_out
    assert str(data.left_out) == ""
    assert "left out" not in data.describe()


def test_a_folder_of_videos_says_so(tmp_path):
    (tmp_path / "a.mp4").write_text("x")
    with pytest.raises(DataError, match=r"1 video \(\.mp4\).*check the folder.*of videos, extract frames"):
        open_dataset(tmp_path)


def test_links_are_followed_counted_and_never_for_ever(tmp_path):
    image_folder(tmp_path / "in", {"cat": 1})
    image_folder(tmp_path / "outside", {"dog": 1})
    inside = tmp_path / "in"
    (inside / "cat" / "again.png").symlink_to(inside / "cat" / "0.png")
    (inside / "dog").symlink_to(tmp_path / "outside" / "dog")
    (inside / "cat" / "up").symlink_to(inside)
    (inside / "loop").symlink_to("loop")
    (inside / "loop.png").symlink_to("loop.png")
    (inside / "two").symlink_to("one")
    (inside / "one").symlink_to("two")
    (inside / "gone.png").symlink_to("nowhere")
    data = open_dataset(inside)
    assert data.ids.tolist() == ["cat/0.png", "cat/again.png", "dog/0.png"]
    assert data.links == {"files": 1, "folders": 1}
    assert "followed links to 1 file and 1 folder" in data.describe()
    found = reasons(data)
    assert found["cat/up"] == "link to a folder that is already read"
    assert "missing" in found["gone.png"]
    assert "symbolic links" in found["loop.png"]
    assert "1 repeated link" in str(data.left_out)


def test_pipes_sockets_and_devices_are_never_opened(tmp_path):
    write(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "null.png").symlink_to("/dev/null")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(os.path.relpath(tmp_path / "s.png"))
        data = readable(open_dataset(tmp_path))
    assert data.ids.tolist() == ["a.png"]
    assert set(reasons(data)) == {"null.png", "pipe.png", "s.png", "zero.png"}
    assert "4 pipes, sockets or devices" in str(data.left_out)


NAMES = [
    b"\xff\xfe.png",
    b"caf\xe9.png",
    b"new\nline.png",
    b"\x1b[31m.png",
    b'quote".png',
    b"a;b,c.png",
    "ü☃.png".encode(),
]


def test_names_of_any_bytes_are_ids_that_can_be_written(tmp_path):
    for name in NAMES:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(encoded(picture(len(name))))
    with open(os.path.join(os.fsencode(tmp_path), b"bad\xff.png"), "wb") as file:
        file.write(b"no image")
    with open(os.path.join(os.fsencode(tmp_path), b"empty\xff.png"), "wb"):
        pass
    data = readable(open_dataset(tmp_path))
    assert len(data) == len(NAMES)
    for row, name in enumerate(data.ids.tolist()):
        name.encode("utf-8")
        assert data.image(row).size == (12, 8)
    for skipped in data.skipped:
        skipped.id.encode("utf-8")
    assert set(reasons(data)) == {r"bad\udcff.png", r"empty\udcff.png"}
    assert r"caf\udce9.png" in data.ids.tolist()


def test_a_folder_and_a_class_of_any_bytes(tmp_path):
    place = os.path.join(os.fsencode(tmp_path), b"f\xff", b"class\xfe")
    os.makedirs(place)
    with open(os.path.join(place, b"\xfd.png"), "wb") as file:
        file.write(encoded(picture()))
    data = open_dataset(os.fsdecode(os.path.dirname(place)))
    assert data.label_space.names == (r"class\udcfe",)
    assert data.ids.tolist() == [r"class\udcfe/\udcfd.png"]
    assert data.image(0).size == (12, 8)
    assert open_dataset([os.path.join(place, b"\xfd.png")]).image(0).size == (12, 8)


def deep_file(top, parts, name="a.png"):
    """Write an image below folders whose path is longer than the system takes at once."""
    here = os.open(top, os.O_RDONLY)
    for part in parts:
        os.mkdir(part, dir_fd=here)
        inner = os.open(part, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    file = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=here)
    os.write(file, encoded(picture()))
    os.close(file)
    os.close(here)


def remove_deep(top, part):
    """Remove equal nested folders from the inside, since `shutil.rmtree` of long paths fails on some systems."""
    descriptors = [os.open(top, os.O_RDONLY)]
    while part in os.listdir(descriptors[-1]):
        descriptors.append(os.open(part, os.O_RDONLY, dir_fd=descriptors[-1]))
    os.remove("a.png", dir_fd=descriptors[-1])
    for inner in reversed(descriptors[:-1]):
        os.close(descriptors.pop())
        os.rmdir(part, dir_fd=inner)
    os.close(descriptors.pop())


def test_long_paths_are_read_with_shortened_ids_and_longer_ones_than_the_system_takes_are_reported(tmp_path):
    write(tmp_path, "a.png")
    deep_file(tmp_path, ["d" * 200] * 10)  # 2,000 bytes: the system takes 4,096
    data = open_dataset(tmp_path)
    assert len(data) == 2
    long = max(data.ids.tolist(), key=len)
    assert len(long.encode()) <= 512
    assert (long[:100], long.endswith("/a.png"), "~" in long) == ("d" * 100, True, True)
    assert open_dataset(tmp_path).ids.tolist() == data.ids.tolist()
    assert data.image(data.ids.tolist().index(long)).size == (12, 8)
    remove_deep(tmp_path, "d" * 200)
    deep_file(tmp_path, ["e" * 200] * 25)
    try:
        data = open_dataset(tmp_path)
        assert data.ids.tolist() == ["a.png"]
        assert "too long" in next(iter(reasons(data).values()))
    finally:
        remove_deep(tmp_path, "e" * 200)


def test_files_that_vanish_or_change_while_they_are_read(tmp_path, monkeypatch):
    write(tmp_path, "a.png", "b.png", "c.png")
    stat = os.stat

    def vanish(path, *arguments, **options):
        if os.fspath(path).endswith("b.png"):
            (tmp_path / "b.png").unlink(missing_ok=True)
        return stat(path, *arguments, **options)

    monkeypatch.setattr(walking.os, "stat", vanish)
    data = open_dataset(tmp_path)
    monkeypatch.undo()
    assert reasons(data) == {"b.png": "file is missing"}
    (tmp_path / "a.png").unlink()
    (tmp_path / "c.png").write_bytes(encoded(picture(size=(64, 64)))[:900])
    with pytest.raises(DataError, match=r"a\.png: file is missing; c\.png: truncated"):
        readable(data)


@pytest.fixture
def unprivileged():
    """A folder of a user who is not root, for permissions count nothing for root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for place, folders, _ in os.walk(folder, topdown=False):
        for name in folders:
            Path(place, name).chmod(0o755)
    import shutil

    shutil.rmtree(folder)


def test_what_may_not_be_read_is_listed_and_never_fatal(unprivileged):
    image_folder(unprivileged, {"cat": 2, "locked": 1})
    (unprivileged / "locked").chmod(0)
    (unprivileged / "cat" / "1.png").chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        data = readable(open_dataset(unprivileged), threads=1)
    finally:
        if root:
            os.seteuid(0)
    assert data.ids.tolist() == ["cat/0.png"]
    assert reasons(data)["locked"] == "folder cannot be read: Permission denied"
    assert reasons(data)["cat/1.png"] == "file cannot be read: Permission denied"
    assert "2 unreadable" in str(data.left_out)


WRONG = {
    "page.jpg": (b"<!DOCTYPE html><html><body>403</body></html>", "web page"),
    "page2.jpg": (b"\n  <HTML>", "web page"),
    "svg.png": (b'<?xml version="1.0"?><svg xmlns="x"/>', "drawing"),
    "lfs.png": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
    "pdf.jpg": (b"%PDF-1.7\n", "PDF"),
    "zip.png": (b"PK\x03\x04....", "ZIP"),
    "movie.jpg": (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video"),
    "double.jpg": (b"\0\x05\x16\x07\0\x02\0\0Mac OS X", "AppleDouble"),
    "json.png": (b'{"error": "not found"}', "JSON"),
    "noise.png": (bytes(range(200, 256)), "not an image"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_image_under_the_name_of_one_says_what_it_is(tmp_path, name):
    write(tmp_path, "a.png")
    (tmp_path / name).write_bytes(WRONG[name][0])
    assert WRONG[name][1] in reasons(readable(open_dataset(tmp_path)))[name]


@pytest.mark.parametrize(("kind", "name"), [("PNG", "a.jpg"), ("JPEG", "a.png"), ("WEBP", "a.tif"), ("GIF", "a.heic")])
def test_the_contents_tell_the_format_not_the_extension(tmp_path, kind, name):
    (tmp_path / name).write_bytes(encoded(picture(), kind))
    assert readable(open_dataset(tmp_path)).image(0).size == (12, 8)


def test_an_image_named_as_raw_is_read_as_what_it_is(tmp_path):
    (tmp_path / "a.nef").write_bytes(encoded(picture(), "PNG"))
    (tmp_path / "b.dng").write_bytes(encoded(picture(), "TIFF"))
    data = readable(open_dataset(tmp_path))
    assert [np.asarray(data.image(row)).tolist() for row in range(2)] == [np.asarray(picture()).tolist()] * 2
