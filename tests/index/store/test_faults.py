"""Damage, full disks and second writers cost the unfinished call at most, and are named."""

import json
import os
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest

from kinbits.errors import ArtefactError, PlatformError
from kinbits.index import Index, IndexOptions
from kinbits.index.store import checked_array
from kinbits.index.store.folder import Folder

BATCH = 100


def filled(path, items=BATCH):
    codes = (np.arange(items) % 251).astype(np.uint8)[:, None]
    return Index.create(path, bits=8).add(codes, metadata={"n": list(range(items))})


def everything(index):
    return index.search(np.zeros(1, np.uint8), k=10**6).to_dicts()


def files_of(path):
    names = [entry.name for entry in sorted(path.iterdir()) if entry.name != "lock"]
    assert {name.partition(".")[2].partition(".")[0] for name in names} >= {
        "codes",
        "ids",
        "rows",
        "alive",
        "json",
    }
    return names


def files_with_content(path):
    return [entry.name for entry in sorted(path.iterdir()) if entry.name not in ("lock", "manifest.json")]


def damaged_copies(path):
    """Yield the name of each file in turn while one of its bits is flipped."""
    for name in files_of(path):
        whole = (path / name).read_bytes()
        for place in (0, len(whole) // 2, len(whole) - 1):
            (path / name).write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
            yield name
        (path / name).write_bytes(whole)


def test_every_flipped_bit_is_named_by_verify_and_by_search(tmp_path):
    index = filled(tmp_path / "x").delete([3])
    for name in damaged_copies(tmp_path / "x"):
        with pytest.raises(ArtefactError, match=name):
            Index.open(tmp_path / "x").verify()
        with pytest.raises(ArtefactError, match=name):
            Index.open(tmp_path / "x").search(np.zeros(1, np.uint8), k=1)
    index.verify()


def test_damage_is_not_copied_into_what_is_written_next(tmp_path):
    index = filled(tmp_path / "x").delete([3])
    for name in damaged_copies(tmp_path / "x"):
        manifest = (tmp_path / "x" / "manifest.json").read_bytes()
        with pytest.raises(ArtefactError, match=name):
            Index.open(tmp_path / "x").compact()
        with pytest.raises(ArtefactError, match=name):  # small enough to be joined with what is added
            Index.open(tmp_path / "x").add(np.zeros((100, 1), np.uint8))
        with pytest.raises(ArtefactError, match=name):
            Index.create(bits=8).merge(Index.open(tmp_path / "x"))
        if name.endswith(".ids") or ".alive." in name:
            with pytest.raises(ArtefactError, match=name):
                Index.open(tmp_path / "x").delete([5])
        assert (tmp_path / "x" / "manifest.json").read_bytes() == manifest
    index.compact().verify()


def test_a_file_is_checked_once_and_again_only_by_verify(tmp_path, monkeypatch):
    checked = []
    whole = checked_array.checksum
    monkeypatch.setattr(checked_array, "checksum", lambda array: checked.append(array.nbytes) or whole(array))
    filled(tmp_path / "x").delete([3])
    checked.clear()
    index = Index.open(tmp_path / "x")
    assert len(index) == BATCH - 1
    assert not checked
    assert index.info()["columns"] == ["n"]
    before = everything(index)
    assert len(checked) == 4  # codes, ids, alive, rows
    Index.open(tmp_path / "x").add(np.zeros((1, 1), np.uint8), ids=[9_000])
    assert everything(index) == before
    index.refresh().search(np.zeros(1, np.uint8), where="n<5")
    assert len(everything(index)) == BATCH


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


def test_a_file_that_is_cut_short_after_opening_is_named_and_kills_nobody(tmp_path):
    filled(tmp_path / "x", 100_000).delete([3])
    for name in files_of(tmp_path / "x"):
        if name != "manifest.json":
            index = Index.open(tmp_path / "x")
            whole = (tmp_path / "x" / name).read_bytes()
            os.truncate(tmp_path / "x" / name, 1)
            if len(whole) > IndexOptions().mapped_bytes:
                with pytest.raises(ArtefactError, match=name):
                    index.search(np.zeros(1, np.uint8))
            else:  # in memory since it was opened
                assert len(index.search(np.zeros(1, np.uint8), k=5, where="n<5")) == 4
            (tmp_path / "x" / name).write_bytes(whole)


def test_files_that_are_overwritten_after_their_first_check_are_checked_again(tmp_path):
    index = filled(tmp_path / "x", 100_000)
    before = index.search(np.zeros(1, np.uint8), k=5).to_dicts()
    for name in files_with_content(tmp_path / "x"):
        path = tmp_path / "x" / name
        whole = path.read_bytes()
        path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])  # in place, as `cp` does
        with pytest.raises(ArtefactError, match=name):
            index.search(np.zeros(1, np.uint8), k=5)
        with pytest.raises(ArtefactError, match=name):
            index.merge(Index.create(bits=8).add(np.zeros((100_000, 1), np.uint8), ids=range(10**6, 11 * 10**5)))
        path.write_bytes(whole)
        assert index.search(np.zeros(1, np.uint8), k=5).to_dicts() == before
    assert len(index.add(np.zeros((1, 1), np.uint8))) == 100_001


CUT_SHORT_WHILE_IT_IS_READ = """
import os, sys
import numpy as np
from kinbits.index import Index, IndexOptions

index = Index.open(sys.argv[1])
index.search(np.zeros(1, np.uint8), k=5)
stat, name = os.stat, sys.argv[2]

def late(path, *arguments, **named):  # the file is whole when it is looked at, and cut right after
    found = stat(path, *arguments, **named)
    if str(path).endswith(name):
        os.truncate(path, 4096)
    return found

os.stat = late
for call in (lambda: index.search(np.zeros(1, np.uint8), k=5), lambda: list(index.pairs(0)), index.compact):
    try:
        call()
        print("answered")
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_a_file_that_is_cut_short_while_it_is_read_ends_neither_the_process_nor_in_an_answer(tmp_path):
    filled(tmp_path / "x", 300_000).delete([3])
    program = [sys.executable, "-c", CUT_SHORT_WHILE_IT_IS_READ, str(tmp_path / "x"), "000001.codes"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("ArtefactError another program shortened a file of an index")
    assert len(lines) == 3
    assert all(line.startswith("ArtefactError") for line in lines)


def test_an_open_index_finds_damage_that_comes_later(tmp_path):
    index = filled(tmp_path / "x")
    (tmp_path / "x" / "000001.codes").unlink()
    with pytest.raises(ArtefactError, match=r"000001\.codes"):
        index.verify()


def test_a_newer_format_asks_for_an_upgrade(tmp_path):
    filled(tmp_path / "x")
    path = tmp_path / "x" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 5}))
    with pytest.raises(ArtefactError, match=r"version 5.*upgrade"):
        Index.open(tmp_path / "x")


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"format": "kinbits-model", "version": 1}'])
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    filled(tmp_path / "x")
    (tmp_path / "x" / "manifest.json").write_text(text)
    with pytest.raises(ArtefactError, match=r"damaged|belongs to 'kinbits-model'"):
        Index.open(tmp_path / "x")


def test_the_format_before_the_first_release_says_what_to_do(tmp_path):
    filled(tmp_path / "x")
    path = tmp_path / "x" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 1}))
    with pytest.raises(ArtefactError, match="create the index again"):
        Index.open(tmp_path / "x")


def test_no_index_at_all_says_how_to_make_one(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ArtefactError, match=r"Index\.create"):
            Index.open(path)


def test_a_second_writer_is_told_to_wait_and_a_reader_is_not(tmp_path):
    index = filled(tmp_path / "x")
    with Folder(tmp_path / "x").writing():
        with pytest.raises(PlatformError, match="another writer"):
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


def test_a_reader_refreshes_when_it_wants_to(tmp_path):
    writer = filled(tmp_path / "x", 1000)  # too large to be joined with what is added
    reader = Index.open(tmp_path / "x")
    everything(reader)
    codes = reader._state.segments[0].codes
    assert reader.refresh() is reader
    assert reader._state.segments[0].codes is codes
    writer.add(np.ones((5, 1), np.uint8)).delete([0, 1])
    assert len(reader) == 1000
    assert everything(reader.refresh()) == everything(writer)
    assert reader._state.segments[0].codes is codes  # mapped and checked once
    writer.compact()
    assert everything(reader.refresh()) == everything(writer)
    memory = Index.create(bits=8)
    assert memory.refresh() is memory


def test_refresh_tells_when_the_index_was_made_again_or_has_gone(tmp_path):
    filled(tmp_path / "x").delete([3])
    reader = Index.open(tmp_path / "x")
    shutil.rmtree(tmp_path / "x")
    with pytest.raises(ArtefactError, match="there is no index"):
        reader.refresh()
    filled(tmp_path / "x", 30)
    assert len(reader.refresh()) == 30
    assert len(everything(reader)) == 30


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    (tmp_path / "disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path / "disk")]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a file system")
    yield tmp_path / "disk"
    subprocess.run(["umount", str(tmp_path / "disk")], check=True)


@pytest.mark.parametrize("metadata", [None, {"n": list(range(80_000))}])
def test_a_full_file_system_leaves_the_index_as_it_was_and_usable(small_disk, metadata):
    index = filled(small_disk / "x")
    before = everything(index)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 500_000)
    for _ in range(3):  # what failed leaves nothing behind that would fill the disk
        with pytest.raises(PlatformError, match="free space"):
            index.add(np.zeros((80_000, 1), np.uint8), metadata=metadata)
        with pytest.raises(PlatformError, match="free space"):
            index.merge(Index.create(bits=8).add(np.zeros((80_000, 1), np.uint8), ids=range(1000, 81_000)))
    assert everything(index) == everything(Index.open(small_disk / "x")) == before
    index.add(np.zeros((1, 1), np.uint8)).delete([BATCH]).verify()
    ballast.unlink()
    assert len(index.add(np.zeros((20_000, 1), np.uint8))) == BATCH + 20_000
    index.compact().verify()


def test_a_copy_that_does_not_fit_leaves_nothing_behind(small_disk, tmp_path):
    index = Index.create(tmp_path / "x", bits=64).add(np.zeros((300_000, 8), np.uint8))
    for _ in range(2):
        with pytest.raises(PlatformError, match="make free space"):
            index.save(small_disk / "copy")
        assert list(small_disk.iterdir()) == []
    index.delete(list(range(100, 300_000))).compact().save(small_disk / "copy")
    assert len(Index.open(small_disk / "copy")) == 100


def test_a_full_disk_leaves_the_old_contents_and_says_so(tmp_path):
    index = filled(tmp_path / "x")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(PlatformError, match="free space"):
            index.add(np.zeros((100_000, 1), np.uint8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(index) == len(Index.open(tmp_path / "x")) == BATCH
    index.add(np.zeros((1, 1), np.uint8)).verify()
    assert len(list((tmp_path / "x").glob("*.codes"))) == index.info()["segments"]


def test_a_place_that_cannot_be_written_is_the_machines_fault():
    with pytest.raises(PlatformError, match="permissions"):
        Index.create("/proc/kinbits-index", bits=8)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_can_be_searched_but_not_changed(tmp_path):
    filled(tmp_path / "x")
    (tmp_path / "x").chmod(0o500)
    (tmp_path / "x" / "lock").chmod(0o400)
    index = Index.open(tmp_path / "x")
    assert len(everything(index)) == BATCH
    with pytest.raises(PlatformError, match="permissions"):
        index.add(np.zeros((1, 1), np.uint8))


def test_nothing_on_disk_is_a_pickle(tmp_path):
    filled(tmp_path / "x").delete([1])
    for name in files_of(tmp_path / "x"):
        assert not (tmp_path / "x" / name).read_bytes().startswith(b"\x80")
