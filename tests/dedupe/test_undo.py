"""Undo: links whose kept file is gone, and undo files that were edited by hand."""

import json
import os

import pytest
from album import group, make_album, write_picture

from kinbits.dedupe import DedupeReport, apply_decisions, decide, undo_decisions
from kinbits.errors import ArtefactError


def linked(folder, *times):
    """Write equal files a.jpg, b.jpg and c.jpg, and replace the last two by links to the first."""
    names = ["a.jpg", "b.jpg", "c.jpg"]
    for name, time in zip(names, times, strict=True):
        write_picture(folder / "photos" / name, 1)
        os.utime(folder / "photos" / name, (time, time))
    report = DedupeReport(str(folder / "photos"), (group("bytes", folder / "photos", names),))
    done = apply_decisions(decide(report), link=True, undo=folder / "u.jsonl")
    assert [file.path for file in done.done] == names[1:]
    return folder / "photos"


def states(root, *names):
    found = [(root / name).stat() for name in names]
    return [(state.st_nlink, state.st_mtime) for state in found]


def rename(root):
    (root / "a.jpg").rename(root / "renamed.jpg")


def save_anew(root):
    (root / "new").write_bytes(b"edited")
    (root / "new").rename(root / "a.jpg")


@pytest.mark.parametrize("change", [rename, save_anew])
def test_links_are_undone_when_the_kept_file_was_renamed_or_replaced(tmp_path, change):
    root = linked(tmp_path, 1000, 2000, 3000)
    change(root)
    undone = undo_decisions(tmp_path / "u.jsonl")
    assert {file.path for file in undone.done} == {"b.jpg", "c.jpg"}
    assert (undone.in_place, undone.refused) == (0, ())
    assert states(root, "b.jpg", "c.jpg") == [(1, 2000), (1, 3000)]
    assert undo_decisions(tmp_path / "u.jsonl").in_place == 2


def test_a_link_that_nothing_tells_from_one_of_the_user_is_refused(tmp_path):
    root = linked(tmp_path, 1000, 1000, 1000)
    rename(root)
    undone = undo_decisions(tmp_path / "u.jsonl")
    assert {one.path for one in undone.refused} == {"b.jpg", "c.jpg"}
    assert undone.refused[0].reason.startswith("it is a hard link, but not to a.jpg, which was moved or replaced")
    (root / "renamed.jpg").rename(root / "a.jpg")
    assert len(undo_decisions(tmp_path / "u.jsonl").done) == 2
    assert states(root, "a.jpg", "b.jpg", "c.jpg") == [(1, 1000)] * 3


def test_an_edited_link_whose_kept_file_was_renamed_is_refused(tmp_path):
    root = linked(tmp_path, 1000, 2000, 3000)
    rename(root)
    with open(root / "b.jpg", "ab") as file:
        file.write(b"edited")
    undone = undo_decisions(tmp_path / "u.jsonl")
    assert [one.reason[:33] for one in undone.refused] == ["it was written after it was linke"] * 2


@pytest.mark.parametrize(
    "values",
    [
        {"path": "\ud800"},
        {"kept": "\ud800"},
        {"modified_ns": 10**400},
        {"modified_ns": 2**70},
        {"modified_ns": True},
        {"bytes": -1},
        {"mode": 0o100644},
        {"mode": -1},
        {"sha256": "x"},
    ],
)
@pytest.mark.parametrize("link", [False, True])
def test_a_line_with_impossible_values_is_damaged(tmp_path, values, link):
    album = make_album(tmp_path)
    options = {"link": True} if link else {"move_to": album.aside}
    path = apply_decisions(album.decisions("bytes"), undo=tmp_path / "u", **options).undo
    lines = path.read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), **values})
    path.write_text("\n".join([*lines, ""]))
    undone = undo_decisions(path)
    assert [one.reason for one in undone.refused] == ["line 2 of the undo file is damaged"]
    assert len(undone.done) == 3


@pytest.mark.parametrize(
    "values",
    [
        {"mode": "foo"},
        {"mode": ["link"]},
        {"root": 7},
        {"root": "/\ud800"},
        {"root": "/a\0b"},
        {"root": "photos"},
        {"target": None},
        {"target": ""},
        {"target": "/\ud800"},
        {"decisions": 1},
        {"more": 1},
    ],
)
def test_a_header_with_impossible_values_is_refused(tmp_path, values):
    album = make_album(tmp_path)
    path = apply_decisions(album.decisions("bytes"), move_to=album.aside).undo
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), **values}), *rest, ""]))
    with pytest.raises(ArtefactError, match="is no undo file of version 1; give one that was written here"):
        undo_decisions(path)
