"""Files and folders appear complete, in one step, or not at all, and leave nothing behind."""

import errno
import os
import stat
import subprocess
import sys

import pytest

from kinbits._util import file_aside, files, folder_aside, full_path, open_regular, write_text
from kinbits.errors import PlatformError, UsageError, platform_error


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def filled(folder, text, **options):
    with folder_aside(folder, **options) as aside:
        (aside / "f").write_text(text)


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for text in ("one", "two"):
        filled(tmp_path / "x", text, replace=True)
        assert names(tmp_path) == ["x"]
        assert (tmp_path / "x" / "f").read_text() == text
    with pytest.raises(FileExistsError):
        filled(tmp_path / "x", "three")
    with pytest.raises(ZeroDivisionError), folder_aside(tmp_path / "x", replace=True):
        print(1 / 0)
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x" / "f").read_text() == "two"


def test_a_link_stays_and_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    filled(tmp_path / "link", "here")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "empty" / "f").read_text() == "here"
    write_text(tmp_path / "file", "old")
    (tmp_path / "other").symlink_to(tmp_path / "file")
    write_text(tmp_path / "other", "new")
    assert (tmp_path / "file").read_text() == "new"
    assert (tmp_path / "other").is_symlink()


def test_where_folders_cannot_be_exchanged_two_steps_do(tmp_path, monkeypatch):
    filled(tmp_path / "x", "one")
    monkeypatch.setattr(files, "_SWAP", 1 << 20)  # flags that no system knows
    filled(tmp_path / "x", "two", replace=True)
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x" / "f").read_text() == "two"


@pytest.mark.parametrize("work", ["folder_aside(target, replace=True)", "file_aside(target)"])
def test_what_a_killed_process_left_goes_and_what_a_living_one_makes_stays(tmp_path, work):
    program = f"""
import os, sys
from pathlib import Path
from kinbits._util.files import file_aside, folder_aside
target = Path(sys.argv[1])
with {work} as aside:
    print(aside, flush=True)
    sys.stdin.read(1)
    os.kill(os.getpid(), 9)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "x.bin")]
    living = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    aside = living.stdout.readline().strip()
    make = file_aside if "file" in work else folder_aside

    def again():
        with make(tmp_path / "x.bin") as other:
            (other / "f" if other.is_dir() else other).write_text("done")

    try:
        again()
        assert os.path.exists(aside)
    finally:
        living.communicate("x")
    assert living.returncode == -9
    assert os.path.exists(aside)
    if make is folder_aside:
        (tmp_path / "x.bin" / "f").unlink()
    again()
    assert names(tmp_path) == ["x.bin"]


@pytest.mark.parametrize("write", [write_text, lambda path, text: filled(path, text)])
def test_a_writer_whose_new_name_another_one_is_about_to_remove_takes_the_next(tmp_path, monkeypatch, write):
    """The other opens and locks what lies there before its writer does, and removes it later."""
    real, taken = files.try_lock, []

    def first_taken(descriptor):
        if not taken:
            (name,) = tmp_path.iterdir()
            taken.append((os.open(name, os.O_RDONLY), name))
            assert real(taken[0][0])
        return real(descriptor)

    monkeypatch.setattr(files, "try_lock", first_taken)
    write(tmp_path / "x", "new")
    (descriptor, stale), *_ = taken
    assert stale.exists()
    assert (tmp_path / "x").exists()
    os.close(descriptor)


def test_files_have_the_usual_permissions(tmp_path):
    write_text(tmp_path / "usual", "")
    (tmp_path / "plain").write_text("")
    filled(tmp_path / "x", "")
    (tmp_path / "folder").mkdir()
    assert (tmp_path / "usual").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "folder").stat().st_mode


def test_what_is_done_but_perhaps_not_on_disk_says_so(tmp_path, monkeypatch):
    def refuse(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files, "sync_folder", lambda path: refuse(path) if path == tmp_path else None)
    with pytest.raises(PlatformError, match="x is changed, but a power failure could undo it: Input/output error"):
        write_text(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "new"


@pytest.mark.parametrize(
    ("code", "remedy"), [(errno.ENOSPC, "make free space"), (errno.EMFILE, "ulimit -n"), (errno.EACCES, "permissions")]
)
def test_each_reason_has_its_own_remedy(code, remedy):
    made = platform_error("x cannot be written", OSError(code, os.strerror(code)))
    assert str(made).startswith(f"x cannot be written: {os.strerror(code)}; ")
    assert remedy in str(made)
    assert made.errno == code
    assert platform_error("again", made) is made


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        for flags in (os.O_RDONLY, os.O_WRONLY):
            with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
                open_regular(path, flags)
    (tmp_path / "file").write_text("x")
    descriptor = open_regular(tmp_path / "file")
    assert stat.S_ISREG(os.fstat(descriptor).st_mode)
    os.close(descriptor)


def test_paths_are_absolute_and_know_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert full_path("~/x") == full_path("x") == tmp_path / "x"
    assert full_path("\udcff").name == "\udcff"  # a file name that is not UTF-8


@pytest.mark.parametrize("path", [None, 5, b"x", "a\0b", "\ud800"], ids=repr)
def test_what_cannot_be_a_path_is_refused(path):
    with pytest.raises(UsageError, match="is no path; give text"):
        full_path(path)
