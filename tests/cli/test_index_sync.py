"""kinbits index sync: from cron, with exit codes that tell what happened."""

import fcntl
import json
import os
import re
import shutil
import time

import pytest


def age(folder):
    """Let files be a minute old: what was changed a moment ago is compared again by the next run."""
    then = time.time() - 60
    for path in folder.rglob("*.png"):
        os.utime(path, (then, then))


@pytest.fixture
def photos(run, images):
    """A folder of pictures, and photos.index, made from it."""
    folder = images("photos", cat=5, dog=4)
    age(folder)
    assert run("fit", folder, "-o", "model", "--method", "itq", "--bits", "8").code == 0
    assert run("index", "create", "photos.index", "model", folder).code == 0
    return folder


def test_from_creation_to_a_changed_folder(run, photos):
    ended = run("--quiet", "index", "sync", "photos.index")
    assert (ended.code, ended.err) == (0, "")
    assert re.search(r"^unchanged +9 *$", ended.out, re.MULTILINE)
    shutil.move(photos / "cat" / "1.png", photos / "dog" / "one.png")
    (photos / "cat" / "2.png").unlink()
    (photos / "cat" / "bad.png").write_bytes(b"no picture")
    shutil.copy(photos / "cat" / "3.png", photos / "cat" / "copy.png")
    dry = run("index", "sync", "photos.index", "--dry-run")
    assert dry.code == 10
    assert re.search(r"^would be moved +1 *\n +cat/1.png -> dog/one.png *$", dry.out, re.MULTILINE)
    assert max(map(len, dry.out.splitlines())) <= 80
    ended = run("index", "sync", "photos.index", "--json")
    assert ended.code == 10
    told = json.loads(ended.out)
    assert (told["added"], told["deleted"], told["unchanged"], told["items"]) == (["cat/copy.png"], ["cat/2.png"], 7, 9)
    assert told["moved"] == [{"id": "cat/1.png", "from": "cat/1.png", "to": "dog/one.png"}]
    assert [one["id"] for one in told["skipped"]] == ["cat/bad.png"]
    hits = json.loads(run("search", "photos.index", photos / "dog" / "one.png", "-k", "1", "--json").out)
    assert "cat/1.png" in json.dumps(hits)
    ended = run("index", "sync", "photos.index")
    assert ended.code == 0
    assert re.search(r"^cannot be read +cat/bad.png: not an image", ended.out, re.MULTILINE)


def test_an_unmounted_disk(run, photos):
    shutil.move(photos, "elsewhere")
    ended = run("index", "sync", "photos.index")
    assert (ended.code, "is missing; mount its disk" in ended.error) == (3, True)
    photos.mkdir()
    ended = run("index", "sync", "photos.index")
    assert ended.code == 3
    assert re.search(r"9 of 9 items have no file .* allow many deletions \(--delete-many\)$", ended.error)
    assert run("index", "sync", "photos.index", "--delete-many", "--dry-run").code == 10
    assert run("index", "sync", "photos.index", "elsewhere").code == 0
    assert run("index", "sync", "photos.index").code == 0  # it follows the new place now


def test_a_second_run_ends_with_its_own_code(run, photos):
    lock = os.open("photos.index/sync.lock", os.O_CREAT | os.O_WRONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    ended = run("index", "sync", "photos.index", "--wait", "0.05")
    os.close(lock)
    assert (ended.code, "is being synchronised already" in ended.error) == (11, True)
    assert run("index", "sync", "photos.index").code == 0


def test_an_unchanged_folder_needs_no_model(run, photos):
    shutil.move("model", "model away")
    assert run("index", "sync", "photos.index").code == 0
    shutil.copy(photos / "cat" / "3.png", photos / "cat" / "copy.png")
    ended = run("index", "sync", "photos.index")
    assert (ended.code, "which is gone" in ended.error) == (4, True)
    assert run("index", "sync", "photos.index", "--model", "model away").code == 10


def test_class_folders_stay_no_labels(run, images):
    folder = images("photos", cat=3, dog=3)
    assert run("fit", folder, "-o", "model", "--no-labels", "--bits", "8").code == 0
    assert run("index", "create", "photos.index", "model", folder, "--no-labels").code == 0
    shutil.copy(folder / "cat" / "1.png", folder / "cat" / "copy.png")
    assert run("index", "sync", "photos.index").code == 10
    assert json.loads(run("index", "info", "photos.index", "--json").out)["columns"] == ["folder"]


def test_an_index_of_vectors_follows_no_folder(run, index, images):
    ended = run("index", "sync", index, images("photos", cat=2))
    assert (ended.code, "none of the 60 items" in ended.error) == (2, True)
