"""When the time of a file tells that it has not changed."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from kinbits.data import open_dataset
from kinbits.encoding.stamps import file_stamps, settled_time

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND + 7


@pytest.mark.parametrize(
    ("mtime", "settled"),
    [
        (NOW - SECOND // 10 - 1, True),
        (NOW - SECOND // 10, False),
        (NOW, False),
        (NOW + SECOND, False),  # of a clock that goes ahead
        (1_700_000_000 * SECOND - 1 * SECOND, False),  # a file system that keeps whole seconds
        (1_700_000_000 * SECOND - 2 * SECOND, True),
    ],
)
def test_a_time_counts_once_no_other_change_could_have_it(mtime, settled):
    assert settled_time(SimpleNamespace(st_mtime_ns=mtime), NOW) == (mtime if settled else -1)


def test_stamps_of_a_folder_that_was_copied_half_a_second_ago(tmp_path, monkeypatch):
    latest = 1_700_000_000 * SECOND + 12_345_678
    for number in range(3):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")
        os.utime(tmp_path / f"{number}.png", ns=(latest - number, latest - number))
    dataset = open_dataset(tmp_path)
    infos = [os.stat(path) for path in dataset.items.paths]
    monkeypatch.setattr("kinbits.encoding.stamps.time.time_ns", lambda: latest + SECOND // 2)
    expected = [(info.st_size, info.st_mtime_ns) for info in infos]
    np.testing.assert_array_equal(file_stamps(dataset), expected)
