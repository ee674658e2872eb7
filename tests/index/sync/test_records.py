"""What an index remembers of files may be lost, damaged or replaced, and never stops or misleads it."""

import os
import sqlite3
from pathlib import Path

import pytest

from kinbits.errors import PlatformError
from kinbits.index.sync.listing import FileStamp
from kinbits.index.sync.plan import FileRecord
from kinbits.index.sync.reading import Reading
from kinbits.index.sync.records import NAME, RecordFile, Records
from kinbits.index.sync.tracked import link_to

ROOT = link_to(Path("/data/photos"), Path("/data/photos.index"))
READING, OTHER = Reading(), Reading(labels=False, frames="all", include_hidden=True)
FILE = FileRecord(FileStamp(12, 34), b"content")


@pytest.fixture
def memory(tmp_path):
    made = RecordFile(tmp_path)
    made.begin(ROOT, READING)
    made.put({"a.png": (FILE, b"code")})
    return made


def test_records_are_read_as_they_were_written(memory):
    memory.put_faults({"bad.png": (FileStamp(3, 4), "no picture"), "c.png": (FileStamp(5, 6), "empty")})
    memory.expect(["new.png"])
    found = memory.read()
    assert (found.root, found.reading) == (ROOT, READING)
    assert found.files == {"a.png": (FILE, b"code"), "new.png": None}
    assert found.faults == {"bad.png": (FileStamp(3, 4), "no picture"), "c.png": (FileStamp(5, 6), "empty")}
    memory.put({"new.png": (FILE, b"new")}, readable=["bad.png"])
    memory.forget(["a.png"], ["c.png"])
    memory.begin(ROOT, OTHER)
    assert memory.read() == Records(ROOT, OTHER, {"new.png": (FILE, b"new")}, {})


def test_no_file_means_nothing_known(tmp_path):
    assert RecordFile(tmp_path).read() == Records()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [b"", b"nonsense" * 1000, None])
def test_a_damaged_file_counts_as_lost_and_is_made_again(memory, damage):
    if damage is None:
        memory.path.write_bytes(memory.path.read_bytes()[:5000])
    else:
        memory.path.write_bytes(damage)
    assert memory.read() == Records()
    memory.begin(ROOT, READING)
    memory.put({"b.png": (FILE, b"code")})
    assert memory.read().files == {"b.png": (FILE, b"code")}


def test_a_file_of_another_format_and_values_of_other_types_count_for_nothing(memory):
    with sqlite3.connect(memory.path) as connection:
        connection.execute("UPDATE files SET size = 'x'")
        connection.execute("UPDATE about SET value = '[1, 2' WHERE name = 'root'")
    assert memory.read() == Records(None, READING, {"a.png": None}, {})
    with sqlite3.connect(memory.path) as connection:
        connection.execute("UPDATE about SET value = '99' WHERE name = 'format'")
    assert memory.read() == Records()


@pytest.mark.parametrize("place", ["link", "pipe"])
def test_a_link_or_a_pipe_under_its_name_is_refused(tmp_path, place):
    if place == "link":
        (tmp_path / NAME).symlink_to(tmp_path / "other")
        (tmp_path / "other").write_bytes(b"")
    else:
        os.mkfifo(tmp_path / NAME)
    for call in RecordFile(tmp_path).read, lambda: RecordFile(tmp_path).begin(ROOT, READING):
        with pytest.raises(PlatformError, match="cannot be used"):
            call()
    if place == "link":
        assert (tmp_path / "other").read_bytes() == b""


def test_a_full_disk_is_told(memory, full_disk):
    with full_disk(20_000), pytest.raises(PlatformError, match="cannot be written"):
        memory.put({f"{number:0500}": (FILE, b"code") for number in range(100)})
    assert memory.read().files == {"a.png": (FILE, b"code")}


def test_a_long_path_is_told(tmp_path):
    place = Path(tmp_path, *["x" * 200] * 3)
    place.mkdir(parents=True)
    with pytest.raises(PlatformError, match="too long"):
        RecordFile(place).begin(ROOT, READING)
