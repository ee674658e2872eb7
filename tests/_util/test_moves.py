"""A rename to a free name, on file systems of every kind."""

import errno
import os

import pytest

from kinbits._util import moves, rename_new


@pytest.fixture(params=["exclusive rename", "hard links", "neither"])
def folder(request, tmp_path, monkeypatch):
    """Two folders on a file system that can do all, no exclusive renames, or no hard links either."""
    if request.param != "exclusive rename":
        monkeypatch.setattr(moves, "_EXCLUSIVE", 1 << 20)  # a flag that no system knows
    if request.param == "neither":

        def no_links(*_, **__):
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", no_links)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "a").write_text("new")
    return tmp_path


def renamed(folder, source, target):
    one, two = (os.open(folder / name, os.O_RDONLY) for name in ("one", "two"))
    try:
        rename_new(source, target, one, two)
    finally:
        os.close(one)
        os.close(two)


def test_a_file_gets_a_free_name(folder):
    target = os.fsdecode(b"\xff name\n")
    renamed(folder, "a", target)
    assert [path.name for path in folder.glob("*/*")] == [target]
    assert (folder / "two" / target).read_text() == "new"


@pytest.mark.parametrize("there", ["file", "folder", "dangling link"])
def test_what_has_the_name_already_stays(folder, there):
    target = folder / "two" / "b"
    if there == "file":
        target.write_text("old")
    elif there == "folder":
        target.mkdir()
    else:
        target.symlink_to("nowhere")
    state = target.lstat()
    with pytest.raises(FileExistsError):
        renamed(folder, "a", "b")
    assert target.lstat().st_ino == state.st_ino
    assert (folder / "one" / "a").read_text() == "new"


def test_a_missing_file_is_an_error(folder):
    with pytest.raises(FileNotFoundError):
        renamed(folder, "none", "b")
    assert not list(folder.glob("two/*"))
