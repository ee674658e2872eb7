"""Folders with hidden files, videos, animations and odd names on the command line."""

import json
import os

import numpy as np
import pytest
from PIL import Image

import kinbits

FRAMES = 3


@pytest.fixture
def photos(images):
    folder = images("photos", cat=4, dog=4)
    frames = [Image.fromarray(np.full((12, 12, 3), 80 * n, np.uint8)) for n in range(FRAMES)]
    frames[0].save(folder / "dog" / "jump.gif", save_all=True, append_images=frames[1:])
    for name in (".DS_Store", "cat/._0.png", "a.mov", "b.mov", "c.mp4", "notes.txt", "cat/zero.jpg"):
        (folder / name).write_bytes(b"" if name.endswith("jpg") else b"x")
    (folder / "cat" / "link.png").symlink_to("0.png")
    Image.new("RGB", (12, 12), (9, 9, 200)).save(folder / "dog" / os.fsdecode(b"caf\xe9.png"))
    return folder


@pytest.fixture
def small(photos, run):
    """A model of these photos, with a small backbone."""
    model = kinbits.fit("photos", method="itq", bits=8, backbone="convnet-small", progress=False, cache=None)
    model.save_pretrained("small")
    return "small"


def told(ended):
    return [line for line in ended.err.splitlines() if line.startswith(("skipped in", "followed in"))]


def test_a_command_reports_once_what_it_skipped(run, photos, small):
    ended = run("index", "create", "photos.index", small, photos)
    assert ended.code == 0, ended.err
    assert told(ended) == [
        "skipped in photos: 2 hidden (.DS_Store 1, ._* 1), 3 videos (.mov 2, .mp4 1), 1 unreadable "
        "(file is empty (0 bytes)), 1 other file (.txt)",
        "followed in photos: links to 1 file",
    ]
    assert "cat/zero.jpg: file is empty (0 bytes)" in ended.out
    assert told(run("--quiet", "index", "add", "photos.index", photos, "--upsert")) == []


@pytest.mark.parametrize(
    "command",
    [
        ("fit", "photos", "-o", "again", "--method", "itq", "--bits", "8", "--backbone", "convnet-small"),
        ("encode", "small", "photos", "-o", "codes.parquet"),
        ("index", "create", "json.index", "small", "photos"),
    ],
    ids=lambda command: command[0],
)
def test_the_report_is_in_json_too(run, small, command):
    ended = run(*command, "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["left_out"] == {
        "hidden": {".DS_Store": 1, "._*": 1},
        "videos": {".mov": 2, ".mp4": 1},
        "unreadable": {"file is empty (0 bytes)": 1},
        "others": {".txt": 1},
        "links": {"files": 1},
    }


def test_frames_are_items_with_pictures(run, photos, small):
    ended = run("index", "create", "frames.index", small, photos, "--frames", "all", "--json")
    assert json.loads(ended.out)["added"] == 10 + FRAMES
    index = kinbits.Index.open("frames.index")
    assert {f"dog/jump.gif#{n}" for n in range(FRAMES)} <= set(index.to_codes().ids.tolist())
    hits = index.search("photos/dog/jump.gif", k=len(index))
    from kinbits.index import find_image

    shown = {hit["id"]: find_image(hit, [photos]) for hit in hits.to_dicts()}
    assert all(image is not None for image in shown.values())
    levels = [shown[f"dog/jump.gif#{n}"].getpixel((3, 3))[0] for n in range(FRAMES)]
    assert levels == [0, 80, 160]


def test_the_next_command_reads_the_same_items(run, photos):
    ended = run(
        "fit", photos, "-o", "m", "--method", "itq", "--bits", "8", "--backbone", "convnet-small",
        "--frames", "all", "--include-hidden",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    printed = " ".join(ended.out.replace("\\\n", " ").split())
    assert "--frames all --include-hidden" in printed
    assert "hidden" not in told(ended)[0]


def test_wrong_frames_are_refused(run, photos):
    ended = run("fit", photos, "-o", "m", "--frames", "every")
    assert ended.code == 2
    assert "first" in ended.error
    assert "all" in ended.error


def test_a_name_that_is_not_utf8_is_found_shown_and_written(run, photos, small, tmp_path):
    assert run("index", "create", "photos.index", small, photos).code == 0
    query = os.fsdecode(b"photos/dog/caf\xe9.png")
    ended = run("search", "photos.index", query, "-k", "1", "--json", "--sheet", "sheet.png")
    assert ended.code == 0, ended.err
    (one,) = json.loads(ended.out)
    assert (one["query"], one["hits"][0]["id"]) == (query, r"dog/caf\udce9.png")
    assert r"dog/caf\udce9.png" in run("search", "photos.index", query, "-k", "1").out
    assert run("encode", small, photos, "-o", "codes.parquet").code == 0
    assert r"dog/caf\udce9.png" in kinbits.encoding.read_codes("codes.parquet").ids.tolist()
    assert run("index", "delete", "photos.index", r"dog/caf\udce9.png", "--yes").code == 0
