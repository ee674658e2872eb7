"""A damaged tar file is named and loses no row in silence, and values get one type."""

import gzip
import io
import re
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from kinbits.errors import DataError
from kinbits.scale.places import Place
from kinbits.scale.tars import TarBlock, uniform

HEADER = tarfile.BLOCKSIZE


def block_of(folder, data, name="a.tar"):
    (folder / name).write_bytes(data)
    return TarBlock(Place(str(folder)), name, 8, texts=True)


def tar_of(files):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return made.getvalue()


def made(count=3):
    """A tar file of texts, each a header and a block of data."""
    return tar_of({f"{number}.txt": b"text" for number in range(count)})


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def ids(block):
    return np.concatenate([part.ids for part in block.parts()]).tolist()


@pytest.mark.parametrize("cut", [2 * HEADER, 4 * HEADER, 2 * HEADER + 100, 5 * HEADER + 2, 6 * HEADER])
def test_a_cut_tar_is_refused_wherever_it_is_cut(tmp_path, cut):
    for name, data in {"a.tar": made()[:cut], "a.tgz": gzip.compress(made()[:cut])}.items():
        with pytest.raises(DataError, match=rf"{name[:1]}\.t.* is no whole tar file .* copy it again"):
            ids(block_of(tmp_path, data, name))


@pytest.mark.parametrize("place", [0, 100, 2 * HEADER, 2 * HEADER + 150, 4 * HEADER + 400])
def test_one_wrong_byte_of_a_header_is_refused(tmp_path, place):
    with pytest.raises(DataError, match=r"a\.tar is no whole tar file"):
        ids(block_of(tmp_path, flipped(made(), place)))


def test_whole_tars_are_read_whatever_the_case_of_their_names(tmp_path):
    assert ids(block_of(tmp_path, made(), "X.TAR")) == ["X/0", "X/1", "X/2"]
    assert ids(block_of(tmp_path, gzip.compress(made()), "x.Tar.gz")) == ["x/0", "x/1", "x/2"]
    assert ids(block_of(tmp_path, made()[: 7 * HEADER])) == ["a/0", "a/1", "a/2"]  # one block of zeros
    assert ids(block_of(tmp_path, made(0))) == []


DAMAGED = {
    "0.json": (b"{", r"\.json of this sample is no JSON"),
    "1.txt": (b"\xff", r"\.txt of this sample is not UTF-8 \(invalid start byte\)"),
    "2.cls": (b"\xff", r"\.cls of this sample is not UTF-8"),
    "3.json": (b"[" * 10**5, r"\.json of this sample is no JSON"),
}


@pytest.mark.parametrize("texts", [False, True])
def test_a_sample_with_damaged_values_is_skipped_and_the_others_stay(tmp_path, texts):
    files = {}
    for number, (name, (data, _)) in enumerate(DAMAGED.items()):
        files |= {f"{number}.jpg": b"jpeg", name: data}
    block = block_of(tmp_path, tar_of({**files, "4.jpg": b"jpeg", "4.caption": b"a bird", "4.json": b'{"a": 1}'}))
    found = next(replace(block, texts=texts).parts())
    assert (found.ids.tolist(), found.columns["a"]) == (["a/4"], [1])
    for one, (name, (_, reason)) in zip(found.skipped, DAMAGED.items(), strict=True):
        assert one.id == f"a/{name[0]}"
        assert re.match(reason, one.reason)


def test_whole_numbers_that_no_column_holds_become_text():
    assert uniform([2**63, -1, None]) == [str(2**63), "-1", None]
    assert uniform([2**63 - 1, -(2**63)]) == [2**63 - 1, -(2**63)]
    assert uniform([2**60, 0.5]) == [str(2**60), "0.5"]
    assert uniform([True, 1]) == ["true", "1"]
