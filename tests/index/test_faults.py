"""Crashes, damage, full disks and second writers cost the unfinished call at most, and are named."""

import json
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest

from kinbits._errors import ArtefactError, EnvironmentFault
from kinbits.index import Index
from kinbits.index._folder import Folder

BATCH = 100

DIES_WHILE_WRITING = """
import os, signal, sys
import numpy as np
from kinbits.index import Index, _folder

path, fatal, change = sys.argv[1], int(sys.argv[2]), sys.argv[3]
index, write, replace, steps = Index.open(path), _folder.Folder._write, os.replace, 0

def step():
    global steps
    steps += 1
    return steps == fatal

def dying_write(self, name, data):
    if step():
        with open(self.path / name, "wb") as file:
            file.write(bytes(data)[: len(bytes(data)) // 2])
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    return write(self, name, data)

def dying_replace(*paths):
    if step():
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)
    if step():
        os.kill(os.getpid(), signal.SIGKILL)

_folder.Folder._write, os.replace = dying_write, dying_replace
if change == "add":
    index.add(np.ones((100, 1), np.uint8), metadata={"n": list(range(100))})
elif change == "upsert":
    index.add(np.ones((9, 1), np.uint8), ids=list(range(9)), upsert=True)
else:
    index.delete(list(range(30)))
"""

ADDS_FOR_EVER = """
import sys
import numpy as np
from kinbits.index import Index

index = Index.open(sys.argv[1])
while True:
    index.add(np.zeros((100, 1), np.uint8))
    print(len(index), flush=True)
"""


def filled(path, items=BATCH):
    codes = (np.arange(items) % 251).astype(np.uint8)[:, None]
    return Index.create(path, bits=8).add(codes, metadata={"n": list(range(items))})


def everything(index):
    return index.search(np.zeros(1, np.uint8), k=10**6).to_dicts()


@pytest.mark.parametrize("change", ["add", "upsert", "delete"])
def test_killed_at_any_step_of_a_change_the_index_is_the_old_or_the_new_one(tmp_path, change):
    filled(tmp_path / "x", 1000)  # too large to be merged with what is added
    old = everything(Index.open(tmp_path / "x"))
    for fatal in range(1, 20):
        done = subprocess.run(
            [sys.executable, "-c", DIES_WHILE_WRITING, tmp_path / "x", str(fatal), change], check=False
        )
        index = Index.open(tmp_path / "x")
        index.verify()
        if done.returncode != -signal.SIGKILL or index.info()["generation"] > 1:
            break
        assert everything(index) == old
    assert fatal >= 3  # at least: a file, the manifest, its swap
    assert everything(index) != old
    index.add(np.zeros((1, 1), np.uint8))
    assert not list((tmp_path / "x").glob("*.new"))


def test_kill_9_while_adding_loses_no_batch_that_was_acknowledged(tmp_path):
    Index.create(tmp_path / "x", bits=8)
    writer = subprocess.Popen([sys.executable, "-c", ADDS_FOR_EVER, tmp_path / "x"], stdout=subprocess.PIPE, text=True)
    acknowledged = [int(writer.stdout.readline()) for _ in range(15)][-1]
    writer.kill()
    rest = writer.communicate()[0].split()
    acknowledged = int(rest[-1]) if rest else acknowledged
    index = Index.open(tmp_path / "x")
    index.verify()
    assert len(index) in (acknowledged, acknowledged + BATCH)
    assert len(index.add(np.zeros((1, 1), np.uint8))) % BATCH == 1  # the dead writer's lock is free


def files_of(path):
    names = [entry.name for entry in sorted(path.iterdir()) if entry.name != "lock"]
    assert {name.partition(".")[2].partition(".")[0] for name in names} >= {
        "codes",
        "ids",
        "rows",
        "dead",
        "json",
    }
    return names


def test_every_flipped_bit_is_found(tmp_path):
    index = filled(tmp_path / "x").delete([3])
    for name in files_of(tmp_path / "x"):
        path = tmp_path / "x" / name
        whole = path.read_bytes()
        for place in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
            with pytest.raises(ArtefactError, match=name):
                Index.open(tmp_path / "x").verify()
        path.write_bytes(whole)
    index.verify()


@pytest.mark.parametrize("damage", [lambda path: os.truncate(path, path.stat().st_size // 2), os.unlink])
def test_truncated_and_missing_files_are_named_when_the_index_is_opened(tmp_path, damage):
    filled(tmp_path / "x").delete([3])
    for name in files_of(tmp_path / "x"):
        path = tmp_path / "x" / name
        whole = path.read_bytes()
        damage(path)
        with pytest.raises(ArtefactError, match=r"there is no index|backup"):
            Index.open(tmp_path / "x")
        path.write_bytes(whole)
    Index.open(tmp_path / "x").verify()


def test_an_open_index_finds_damage_that_comes_later(tmp_path):
    index = filled(tmp_path / "x")
    (tmp_path / "x" / "000001.codes").unlink()
    with pytest.raises(ArtefactError, match=r"000001\.codes"):
        index.verify()


def test_a_newer_format_asks_for_an_upgrade(tmp_path):
    filled(tmp_path / "x")
    path = tmp_path / "x" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 2}))
    with pytest.raises(ArtefactError, match=r"version 2.*upgrade"):
        Index.open(tmp_path / "x")


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"format": "kinbits-model", "version": 1}'])
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    filled(tmp_path / "x")
    (tmp_path / "x" / "manifest.json").write_text(text)
    with pytest.raises(ArtefactError, match=r"damaged|belongs to 'kinbits-model'"):
        Index.open(tmp_path / "x")


def test_no_index_at_all_says_how_to_make_one(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ArtefactError, match=r"Index\.create"):
            Index.open(path)


def test_a_second_writer_is_told_to_wait_and_a_reader_is_not(tmp_path):
    index = filled(tmp_path / "x")
    with Folder(tmp_path / "x").writing():
        with pytest.raises(EnvironmentFault, match="another writer"):
            index.add(np.zeros((1, 1), np.uint8))
        assert len(Index.open(tmp_path / "x")) == BATCH
    assert len(index.add(np.zeros((1, 1), np.uint8))) == BATCH + 1


def test_writers_that_take_turns_lose_nothing(tmp_path):
    one = filled(tmp_path / "x")
    two = Index.open(tmp_path / "x")
    for _ in range(3):
        one.add(np.zeros((1, 1), np.uint8))
        two.add(np.zeros((1, 1), np.uint8))
    assert len(two) == len(Index.open(tmp_path / "x")) == BATCH + 6
    two.verify()


def test_a_reader_keeps_what_it_opened_while_a_writer_moves_on(tmp_path):
    writer = filled(tmp_path / "x")
    reader = Index.open(tmp_path / "x")
    before = everything(reader)
    writer.delete(list(range(50))).compact()
    assert everything(reader) == before
    assert len(everything(Index.open(tmp_path / "x"))) == BATCH - 50


def test_a_full_disk_leaves_the_old_contents_and_says_so(tmp_path):
    index = filled(tmp_path / "x")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(EnvironmentFault, match="free space"):
            index.add(np.zeros((100_000, 1), np.uint8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(index) == len(Index.open(tmp_path / "x")) == BATCH
    index.add(np.zeros((1, 1), np.uint8)).verify()
    assert len(list((tmp_path / "x").glob("*.codes"))) == index.info()["segments"]


def test_a_place_that_cannot_be_written_is_the_machines_fault():
    with pytest.raises(EnvironmentFault, match="permissions"):
        Index.create("/proc/kinbits-index", bits=8)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_can_be_searched_but_not_changed(tmp_path):
    filled(tmp_path / "x")
    (tmp_path / "x").chmod(0o500)
    (tmp_path / "x" / "lock").chmod(0o400)
    index = Index.open(tmp_path / "x")
    assert len(everything(index)) == BATCH
    with pytest.raises(EnvironmentFault, match="permissions"):
        index.add(np.zeros((1, 1), np.uint8))


def test_nothing_on_disk_is_a_pickle(tmp_path):
    filled(tmp_path / "x").delete([1])
    for name in files_of(tmp_path / "x"):
        assert not (tmp_path / "x" / name).read_bytes().startswith(b"\x80")
