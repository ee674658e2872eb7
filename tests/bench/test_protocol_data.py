"""Data of a user's own count by their contents; a published protocol by the checksum that it fixes."""

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from kinbits.bench import protocol_data
from kinbits.data import find_protocol


@pytest.fixture(autouse=True)
def opened_anew():
    yield
    protocol_data.forget_data()


def checksum(source):
    protocol_data.forget_data()
    return protocol_data.data_checksum(f"folder:{source}")


def picture(seed):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "BMP")  # of one size for all seeds
    return buffer.getvalue()


def test_a_picture_that_is_replaced_under_its_name_counts(tmp_path):
    for number in range(20):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    before = checksum(tmp_path / "photos")
    path.write_bytes(picture(number))
    assert checksum(tmp_path / "photos") == before
    path.write_bytes(picture(100))
    assert protocol_data.data_checksum(f"folder:{tmp_path / 'photos'}") == before  # one run has one state of the data
    assert checksum(tmp_path / "photos") != before


@pytest.mark.parametrize("changed", [{}, {"image": 3}, {"label": 3}, {"caption": 3}])
def test_a_cell_of_a_table_that_counts(tmp_path, changed):
    columns = {
        "id": [f"{number}" for number in range(20)],
        "image": [picture(number) for number in range(20)],
        "label": [f"class {number % 2}" for number in range(20)],
        "caption": [f"the words of picture number {number}" for number in range(20)],
    }
    found = []
    for change in ({}, changed):
        for name, row in change.items():
            columns[name][row] = picture(100) if name == "image" else f"{columns[name][row]} again"
        parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
        found.append(checksum(tmp_path / "t.parquet"))
    assert (found[0] == found[1]) == (not changed)


def test_a_published_protocol_keeps_its_checksum_and_is_not_opened(monkeypatch):
    monkeypatch.setattr(protocol_data, "load_protocol", lambda name: pytest.fail("it was opened"))
    protocol_data.forget_data()
    assert protocol_data.data_checksum("cifar10-10k-50k") == find_protocol("cifar10-10k-50k").checksum
