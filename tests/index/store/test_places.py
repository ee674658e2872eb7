"""An index is what its manifest says: folders that are moved, linked, swapped or made twice are told apart."""

import multiprocessing
import os
import pickle

import numpy as np
import pytest

from kinbits.errors import ArtefactError, PlatformError, UsageError
from kinbits.index import Index
from kinbits.index.store.folder import Folder


def made(path, value, items=5):
    """An index of one code, at generation 1 whatever its contents."""
    return Index.create(path, bits=8).add(np.full((items, 1), value, np.uint8))


def codes_of(index):
    return index.search(np.zeros(1, np.uint8), k=100).codes[:, 0].tolist()


def swap(one, other):
    one.rename(one.with_name("aside"))
    other.rename(one)


def test_refresh_sees_another_index_of_the_same_generation(tmp_path):
    made(tmp_path / "x", 1)
    made(tmp_path / "y", 2, items=3)
    reader = Index.open(tmp_path / "x")
    swap(tmp_path / "x", tmp_path / "y")
    assert codes_of(reader.refresh()) == [2] * 3


def test_a_change_starts_from_the_index_that_lies_there_now(tmp_path):
    writer = made(tmp_path / "x", 1)
    made(tmp_path / "y", 2, items=3)
    swap(tmp_path / "x", tmp_path / "y")
    writer.add(np.full((1, 1), 3, np.uint8))
    assert codes_of(writer) == codes_of(Index.open(tmp_path / "x")) == [2, 2, 2, 3]
    Index.open(tmp_path / "x").verify()
    Index.open(tmp_path / "aside").verify()


def test_an_index_of_another_length_is_not_taken_for_the_old_one(tmp_path):
    writer = made(tmp_path / "x", 1)
    Index.create(tmp_path / "y", bits=16).add(np.zeros((3, 2), np.uint8))
    swap(tmp_path / "x", tmp_path / "y")
    for call in (writer.refresh, lambda: writer.add(np.zeros((1, 1), np.uint8))):
        with pytest.raises(ArtefactError, match="created again; open it"):
            call()
    assert len(Index.open(tmp_path / "x")) == 3


def test_a_folder_that_is_swapped_during_a_change_is_left_alone(tmp_path, monkeypatch):
    writer = made(tmp_path / "x", 1)
    made(tmp_path / "y", 2, items=3)
    build = Folder.build_segment

    def late(self, *arguments):
        found = build(self, *arguments)
        swap(tmp_path / "x", tmp_path / "y")
        return found

    monkeypatch.setattr(Folder, "build_segment", late)
    with pytest.raises(PlatformError, match="moved or replaced while it was written; nothing is changed"):
        writer.add(np.zeros((1, 1), np.uint8))
    assert codes_of(Index.open(tmp_path / "x")) == [2] * 3
    assert codes_of(Index.open(tmp_path / "aside")) == [1] * 5


def test_a_relative_path_holds_after_the_working_folder_changed(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    index = made("x", 1)
    monkeypatch.chdir(tmp_path / "elsewhere")
    made("x", 2)
    index.add(np.full((1, 1), 1, np.uint8)).save("copy")
    assert codes_of(Index.open(tmp_path / "x")) == [1] * 6
    assert codes_of(Index.open("copy")) == [1] * 6
    assert codes_of(Index.open("x")) == [2] * 5


def test_the_home_folder_and_links_are_followed(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    made("~/x", 1).save("~/copy")
    assert (tmp_path / "x" / "manifest.json").exists()
    assert len(Index.open("~/copy")) == 5
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    Index.open("~/x").save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert len(Index.open(tmp_path / "empty")) == 5
    with pytest.raises(UsageError, match="there is an index at"):
        made("~/y", 2).save(tmp_path / "link")


def test_save_never_replaces_what_came_there_meanwhile(tmp_path, monkeypatch):
    index = made(tmp_path / "x", 1)
    commit = Folder.commit

    def late(self, state):
        made(tmp_path / "copy", 9) if self.path.name.startswith(".copy.") else None
        return commit(self, state)

    monkeypatch.setattr(Folder, "commit", late)
    with pytest.raises(UsageError, match="there is an index at"):
        index.save(tmp_path / "copy")
    assert codes_of(Index.open(tmp_path / "copy")) == [9] * 5
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["copy", "x"]


def create_and_add(path, number, start):
    start.wait()
    index = Index.create(path, bits=8, exist_ok=True, wait=30.0)
    index.add(np.full((10, 1), number, np.uint8), ids=np.arange(10) + 10 * number)


def create_anew(path, results, start):
    start.wait()
    try:
        Index.create(path, bits=8)
        results.put("made")
    except UsageError as error:
        results.put(str(error))


def in_processes(work, count, *arguments):
    """Run a function in forked processes that begin together."""
    context = multiprocessing.get_context("fork")
    start = context.Barrier(count)
    running = [context.Process(target=work, args=(*argument, start)) for argument in zip(*arguments, strict=True)]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
    assert [process.exitcode for process in running] == [0] * count


@pytest.mark.parametrize("turn", range(3))
def test_processes_that_create_one_index_together_lose_nothing(tmp_path, turn):
    in_processes(create_and_add, 4, [tmp_path / "x"] * 4, range(4))
    index = Index.open(tmp_path / "x")
    index.verify()
    assert sorted(codes_of(index)) == sorted([number for number in range(4) for _ in range(10)])


def test_of_two_that_create_one_index_one_is_told(tmp_path):
    results = multiprocessing.get_context("fork").SimpleQueue()
    in_processes(create_anew, 2, [tmp_path / "x"] * 2, [results] * 2)
    one, other = sorted([results.get(), results.get()], key=len)
    assert one == "made"
    assert "there is an index at" in other


def test_three_writers_that_wait_all_succeed(tmp_path):
    Index.create(tmp_path / "x", bits=8)
    in_processes(create_and_add, 3, [tmp_path / "x"] * 3, range(3))
    assert len(Index.open(tmp_path / "x")) == 30


@pytest.mark.parametrize("name", ["lock", "manifest.json.new", "000002.codes"])
def test_writes_follow_no_link(tmp_path, name):
    index = made(tmp_path / "x", 1)
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "x" / name).unlink(missing_ok=True)
    (tmp_path / "x" / name).symlink_to(tmp_path / "precious")
    if name == "lock":
        with pytest.raises(PlatformError, match="symbolic link"):
            index.add(np.zeros((1, 1), np.uint8))
    else:
        index.add(np.zeros((1, 1), np.uint8))
        index.verify()
    assert (tmp_path / "precious").read_text() == "kept"


@pytest.mark.parametrize("name", ["lock", "manifest.json", "000001.codes"])
def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(tmp_path, name):
    index = made(tmp_path / "x", 1)
    (tmp_path / "x" / name).unlink()
    os.mkfifo(tmp_path / "x" / name)
    with pytest.raises((ArtefactError, PlatformError), match=r"not a regular file|no such device|there is no index"):
        Index.open(tmp_path / "x").add(np.zeros((1, 1), np.uint8))
    assert len(index) == 5


def test_an_index_travels_by_its_path_or_with_its_contents(tmp_path):
    metadata = {"n": [1, 2, 3, 4, 5], "t": ["a", None, "", "d", "e"]}
    for path in (tmp_path / "x", None):
        index = Index.create(path, bits=8).add(np.arange(5, dtype=np.uint8)[:, None], metadata=metadata).delete([1])
        copy = pickle.loads(pickle.dumps(index))
        assert copy.search(np.zeros(1, np.uint8), k=9).to_dicts() == index.search(np.zeros(1, np.uint8), k=9).to_dicts()
        assert copy.search(np.zeros(1, np.uint8), where="t=a").ids.tolist() == [0]
        copy.add(np.zeros((1, 1), np.uint8)).verify()
        assert copy.search(np.zeros(1, np.uint8), k=1, where={"n": None}).ids.tolist() == [5]
        assert len(index) == 4
    assert len(Index.open(tmp_path / "x")) == 5
