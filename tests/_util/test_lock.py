"""One writer of an output at a time: the second ends at once, and a killed one leaves no lock."""

import os
import subprocess
import sys

import pytest

from kinbits import PlatformError
from kinbits._util import locked_output, open_regular

HOLDER = """
import sys
from pathlib import Path
from kinbits._util import locked_output

with locked_output(Path(sys.argv[1]), "file"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the output ``x``."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "x")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout.readline() == "held\n"
        yield started
        started.kill()


def test_the_second_writer_is_told_the_process_of_the_first(holder, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "x")
    for name in ("x", "link"):
        said = f"process {holder.pid} is writing {tmp_path / 'x'}; wait until it ends, or choose another file"
        with pytest.raises(PlatformError, match=said), locked_output(tmp_path / name, "file"):
            pass
    with locked_output(tmp_path / "y", "file"):
        assert (tmp_path / ".y.lock").read_text() == str(os.getpid())
    holder.communicate("")
    with locked_output(tmp_path / "x", "file"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_a_killed_writer_leaves_no_lock(holder, tmp_path):
    holder.kill()
    holder.wait()
    assert (tmp_path / ".x.lock").exists()
    with locked_output(tmp_path / "x", "file"):
        assert (tmp_path / ".x.lock").read_text() == str(os.getpid())
    assert not list(tmp_path.iterdir())


def test_one_process_cannot_hold_an_output_twice_and_an_error_frees_it(tmp_path):
    twice = pytest.raises(PlatformError, match=f"process {os.getpid()} is writing")
    with twice, locked_output(tmp_path / "x", "file"), locked_output(tmp_path / "x", "file"):
        pass
    with locked_output(tmp_path / "x", "file"):
        pass


def test_a_lock_that_was_removed_by_its_owner_is_made_anew(tmp_path, monkeypatch):
    path, opened = tmp_path / ".x.lock", []

    def removed_meanwhile(*given):
        descriptor = open_regular(*given)
        if not opened:
            path.unlink()
        opened.append(descriptor)
        return descriptor

    monkeypatch.setattr("kinbits._util.lock.open_regular", removed_meanwhile)
    with locked_output(tmp_path / "x", "file"):
        assert path.read_text() == str(os.getpid())
    assert len(opened) == 2


def test_a_file_system_without_locks_locks_nothing(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no locks")

    monkeypatch.setattr("kinbits._util.lock.try_lock", refuse)
    with locked_output(tmp_path / "x", "file"), locked_output(tmp_path / "x", "file"):
        pass


def test_what_stands_in_the_way_of_the_lock_is_named(tmp_path):
    (tmp_path / ".x.lock").mkdir()
    with pytest.raises(PlatformError, match=r"\.x\.lock cannot be written"), locked_output(tmp_path / "x", "file"):
        pass
