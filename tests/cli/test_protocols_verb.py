"""kinbits protocols: the list, a card, what is missing, and the check of data that are there."""

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def own_lists(tmp_path, monkeypatch):
    """A folder of lists with six pictures, and no real data anywhere."""
    monkeypatch.setenv("KINBITS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "own"
    folder.mkdir()
    for part, numbers in {"train": (0, 1), "test": (2,), "database": (0, 1, 2, 3)}.items():
        (folder / f"{part}.txt").write_text("".join(f"{n}.png {n % 2} 1 {n % 2}\n" for n in numbers))
    for n in range(4):
        Image.fromarray(np.full((8, 8, 3), n, np.uint8)).save(folder / f"{n}.png")
    return folder


def test_the_list_marks_what_is_ready(run, own_lists):
    listed = json.loads(run("protocols", "--json").out)
    assert {"coco", "roxford5k", "folder", "lists"} <= set(listed)
    assert not listed["coco"]["ready"]
    assert "database.txt" in listed["coco"]["missing"]
    assert listed["coco"]["cutoff"] == 5000
    assert "are not ready" in run("protocols").out
    assert "`kinbits protocols folder:PATH` checks them" in run("protocols", "folder").out


def test_a_card_is_shown_without_the_data_and_says_what_is_missing(run, own_lists):
    ended = run("protocols", "nuswide-81")
    assert ended.code == 0
    assert "1,131 of them without a label" in ended.out
    assert f"is in none of {own_lists.parent / 'data'}" in ended.out
    told = json.loads(run("protocols", "nuswide-81", "--json").out)
    assert (told["ready"], told["database"]) == (False, 168_692)


def test_an_incomplete_folder_names_the_file(run, own_lists, tmp_path):
    (tmp_path / "data" / "coco").mkdir(parents=True)
    (tmp_path / "data" / "coco" / "train.txt").write_text("a.jpg 1 0\n")
    out = run("protocols", "coco").out
    assert f"not ready: {tmp_path / 'data' / 'coco'} lacks test.txt or" in out
    assert "database.txt or database_img.txt" in out


def test_data_that_are_there_are_opened_and_held_to_the_card(run, own_lists, tmp_path):
    (tmp_path / "data").mkdir()
    own_lists.rename(tmp_path / "data" / "coco")
    (tmp_path / "coco").mkdir()  # a folder of that name in the working folder is not the protocol
    ended = run("protocols", "coco")
    assert ended.code == 3
    assert "train has 2 rows, not 10000" in ended.error


def test_lists_of_the_users_own(run, own_lists):
    out = run("protocols", f"lists:{own_lists}").out
    assert "train 2, query 1, database 3; the train rows are also in the database" in out
    assert "note: 1 queries were also in the database list" in out
    told = json.loads(run("protocols", f"lists:{own_lists}", "--json").out)
    assert (told["ready"], told["database"], told["unlabelled"]["query"]) == (True, 3, 0)
    assert "lists:PATH" in run("protocols", "lists").out


def test_a_protocol_that_does_not_exist_offers_the_nearest(run, own_lists):
    ended = run("protocols", "nuswide-18")
    assert ended.code == 2
    assert "nuswide-81" in ended.error


def test_doctor_names_protocols_without_data_in_one_line(run, own_lists):
    found = {one["what"]: one for one in json.loads(run("doctor", "--json").out)}
    assert "coco" in found["protocols without data"]["found"]
    assert found["protocols without data"]["state"] == "optional"
    assert "coco" not in found
