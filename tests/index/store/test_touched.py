"""What other programs do to an index that is open: overwritten, replaced and swapped files, and a full system."""

import os
import resource
import shutil

import numpy as np
import pytest

from kinbits.errors import ArtefactError, PlatformError, UsageError, platform_error
from kinbits.index import Change, Index, IndexOptions
from kinbits.index.store import database, folder
from kinbits.index.store.folder import Folder

ZERO = np.zeros(1, np.uint8)


MAPPED = IndexOptions(mapped_bytes=0)


def filled(path, value, items=20):
    """An index whose codes and metadata are all ``value``."""
    return Index.create(path, bits=8, options=MAPPED).add(
        np.full((items, 1), value, np.uint8), metadata={"n": [value] * items}
    )


def overwrite(path, other, names="*"):
    """Copy files over those of an index, as ``cp`` does: the same files get other bytes."""
    for file in other.glob(names):
        with (path / file.name).open("r+b") as target:
            target.write(file.read_bytes())


def test_a_small_table_that_is_overwritten_does_not_answer_for_the_codes_in_memory(tmp_path):
    filled(tmp_path / "x", 1)
    filled(tmp_path / "y", 2)
    index = Index.open(tmp_path / "x")
    overwrite(tmp_path / "x", tmp_path / "y")
    assert index.search(ZERO, k=1).to_dicts() == [{"id": 0, "distance": 1, "n": 1}]
    assert (index.count("n=1"), index.count("n=2")) == (20, 0)


def test_a_file_that_is_damaged_and_then_replaced_never_answers(tmp_path):
    filled(tmp_path / "x", 1)
    index = Index.open(tmp_path / "x", options=MAPPED)
    index.search(ZERO)
    shutil.copy(tmp_path / "x" / "000001.codes", tmp_path / "good")
    (tmp_path / "x" / "000001.codes").write_bytes(bytes(20))
    (tmp_path / "good").rename(tmp_path / "x" / "000001.codes")  # the map still shows the damaged bytes
    for _ in range(2):
        with pytest.raises(ArtefactError, match="open it again"):
            index.search(ZERO)
    assert Index.open(tmp_path / "x").search(ZERO, k=1).distances.tolist() == [1]


@pytest.mark.parametrize("use", ["save", "merge", "codes", "rows", "pairs"])
def test_whatever_reads_a_touched_file_compares_it_first(tmp_path, use):
    index = filled(tmp_path / "x", 1)
    filled(tmp_path / "y", 2)
    hits, pairs = index.search(ZERO), index.pairs(0)
    uses = {
        "save": lambda: index.save(tmp_path / "copy"),
        "merge": lambda: Index.create(bits=8).merge(index),
        "codes": lambda: hits.codes,
        "rows": lambda: hits.rows,
        "pairs": lambda: next(pairs),
    }
    overwrite(tmp_path / "x", tmp_path / "y", "*.rows" if use == "rows" else "*.codes")
    with pytest.raises(ArtefactError, match="differs from its checksum"):
        uses[use]()
    assert not (tmp_path / "copy").exists()


def test_what_is_overwritten_while_it_is_copied_gets_no_new_checksum(tmp_path, monkeypatch):
    index = filled(tmp_path / "x", 1)
    filled(tmp_path / "y", 2)
    steps = folder.Merge._steps

    def overwritten(merge):
        overwrite(tmp_path / "x", tmp_path / "y", "*.codes")
        yield from steps(merge)

    monkeypatch.setattr(folder.Merge, "_steps", overwritten)
    with pytest.raises(ArtefactError, match="differs from its checksum"):
        index.save(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("step", ["build_segment", "_synced", "_sweep"])
def test_a_folder_that_takes_the_place_during_a_change_loses_nothing(tmp_path, monkeypatch, step):
    index, other = filled(tmp_path / "x", 1).delete([0]), filled(tmp_path / "y", 2)
    other.add(ZERO[None], metadata={"n": [3]})  # its files have the names that the change gives to its own
    before = other.search(ZERO, k=100).to_dicts()
    plain = getattr(Folder, step)

    def swapped(self, *args):
        if (tmp_path / "y").exists():
            (tmp_path / "x").rename(tmp_path / "moved")
            (tmp_path / "y").rename(tmp_path / "x")
        return plain(self, *args)

    monkeypatch.setattr(Folder, step, swapped)
    if step == "_sweep":  # the change was made
        index.add(ZERO[None], metadata={"n": [7]})
    else:
        with pytest.raises(PlatformError, match=r"moved or replaced|cannot be written"):
            index.add(ZERO[None], metadata={"n": [7]})
    monkeypatch.undo()
    there = Index.open(tmp_path / "x", options=MAPPED)
    there.verify()
    assert there.search(ZERO, k=100).to_dicts() == before
    moved = Index.open(tmp_path / "moved")
    moved.verify()
    assert len(moved) == (20 if step == "_sweep" else 19)


def test_a_change_reads_the_folder_that_it_locked(tmp_path, monkeypatch):
    index, other = filled(tmp_path / "x", 1), filled(tmp_path / "y", 2)
    other.delete([0]).compact()
    before = other.search(ZERO, k=100).to_dicts()
    changed, build = Folder.changed, Folder.build_segment

    def swap(first, second):
        first.rename(tmp_path / "aside")
        second.rename(first)
        (tmp_path / "aside").rename(second)

    def changed_elsewhere(self):
        swap(tmp_path / "x", tmp_path / "y")
        return changed(self)

    def build_here(self, *args):
        swap(tmp_path / "x", tmp_path / "y")
        return build(self, *args)

    monkeypatch.setattr(Folder, "changed", changed_elsewhere)
    monkeypatch.setattr(Folder, "build_segment", build_here)
    index.add(ZERO[None], ids=[77])
    monkeypatch.undo()
    assert Index.open(tmp_path / "x").search(ZERO, k=100).distances.tolist() == [0, *[1] * 20]
    assert Index.open(tmp_path / "y").search(ZERO, k=100).to_dicts() == before


def test_what_is_read_together_comes_from_one_folder(tmp_path, monkeypatch):
    """A link is turned to another index after the manifest was read, as in a release of new data."""
    filled(tmp_path / "one", 1)
    filled(tmp_path / "two", 2)
    (tmp_path / "now").symlink_to("one")
    read = Folder._parsed

    def turned(self, raw):
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(tmp_path / "now")
        return read(self, raw)

    monkeypatch.setattr(Folder, "_parsed", turned)
    index = Index.open(tmp_path / "now", options=MAPPED)
    monkeypatch.undo()
    assert index.search(ZERO, k=1, where="n=1").to_dicts() == [{"id": 0, "distance": 1, "n": 1}]
    assert index.refresh().search(ZERO, k=1, where="n=2").to_dicts() == [{"id": 0, "distance": 1, "n": 2}]


def test_sqlite_never_reads_a_table_that_took_the_name_while_it_opened(tmp_path, monkeypatch):
    filled(tmp_path / "x", 1)
    filled(tmp_path / "y", 2)
    index, connect = Index.open(tmp_path / "x", options=MAPPED), database.sqlite3.connect

    def replaced(name, **options):
        if (tmp_path / "y").exists():
            shutil.rmtree(tmp_path / "x")
            (tmp_path / "y").rename(tmp_path / "x")
        return connect(name, **options)

    monkeypatch.setattr(database.sqlite3, "connect", replaced)
    assert (index.count("n=1"), index.count("n=2")) == (20, 0)


def test_the_next_change_keeps_what_was_made_but_perhaps_not_on_disk(tmp_path, monkeypatch):
    index = filled(tmp_path / "x", 1)

    def refuse(path):
        raise platform_error(f"{path} is changed, but a power failure could undo it", OSError(5, "I/O error"))

    monkeypatch.setattr(folder, "settle", refuse)
    with pytest.raises(PlatformError, match="is changed, but"):
        index.add(ZERO[None], ids=[77])
    monkeypatch.undo()
    index.add(ZERO[None], ids=[78])
    assert Index.open(tmp_path / "x").search(ZERO, k=2).ids.tolist() == [77, 78]


def test_a_table_that_the_system_does_not_open_is_not_called_damaged(tmp_path):
    filled(tmp_path / "x", 1)
    index = Index.open(tmp_path / "x", options=MAPPED)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        with pytest.raises(PlatformError, match="unable to open"):
            index.count({"n": 1})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert index.count({"n": 1}) == 20


def test_paths_that_sqlite_does_not_open_are_read_and_refused_for_writing(tmp_path):
    filled(tmp_path / "x", 1)
    deep = tmp_path.joinpath(*["d" * 200] * 3)
    deep.mkdir(parents=True)
    (tmp_path / "x").rename(deep / "x")
    index = Index.open(deep / "x", options=MAPPED)
    assert index.count("n=1") == 20
    with pytest.raises(PlatformError, match="too long a path"):
        index.add(ZERO[None], metadata={"n": [2]})
    index.verify()


def test_an_empty_filter_deletes_nothing_and_an_empty_change_reports_none(tmp_path):
    index = filled(None, 1)
    for where in ({}, []):
        with pytest.raises(UsageError, match="empty filter and would delete all"):
            index.delete(where=where)
    assert len(index) == index.count({}) == 20
    for change in (lambda: index.update([], {}), lambda: index.delete([]), lambda: index.add(ZERO[:0, None])):
        index.add(ZERO[None], metadata={"n": [2]})
        assert index.last_change == Change(added=1)
        change()
        assert index.last_change == Change()
