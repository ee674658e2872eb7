import os

import numpy as np
import pytest
from scipy.io import savemat

from kinbits.data.sources import mat
from kinbits.data.sources.mat import read_mat, texts, variable
from kinbits.errors import DataError, PlatformError


def test_cells_and_character_matrices_become_texts(tmp_path):
    cells = np.array([["im1.jpg"], ["im22.jpg"]], object)
    savemat(tmp_path / "a.mat", {"cells": cells, "matrix": np.array(["im1.jpg ", "im22.jpg"])})
    found = read_mat(tmp_path / "a.mat")
    assert texts(found["cells"]) == texts(found["matrix"]) == ["im1.jpg", "im22.jpg"]
    assert set(found) == {"cells", "matrix"}


def test_a_variable_that_is_not_there_is_named_with_those_that_are(tmp_path):
    savemat(tmp_path / "a.mat", {"YAll": np.eye(2)})
    with pytest.raises(DataError, match=r"no variable LAll or labels; the file has YAll"):
        variable(read_mat(tmp_path / "a.mat"), ("LAll", "labels"), tmp_path / "a.mat")


def test_newer_and_damaged_files_say_what_to_do(tmp_path):
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    (tmp_path / "new.mat").write_bytes(header + b"\x89HDF\r\n\x1a\n" + bytes(600))
    with pytest.raises(DataError, match=r"version 7\.3.*save\(\.\.\., '-v7'\)"):
        read_mat(tmp_path / "new.mat")
    savemat(tmp_path / "a.mat", {"x": np.arange(1000)})
    whole = (tmp_path / "a.mat").read_bytes()
    for damaged in (b"", b"nothing", whole[:200], whole[:-50]):
        (tmp_path / "bad.mat").write_bytes(damaged)
        with pytest.raises(DataError, match="not a readable MATLAB file"):
            read_mat(tmp_path / "bad.mat")
    with pytest.raises(PlatformError, match="cannot be read"):
        read_mat(tmp_path / "none.mat")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("version", ["4", "5"])
def test_variables_come_back(tmp_path, version, compressed):
    numbers = np.arange(6.0).reshape(2, 3)
    cells = {} if version == "4" else {"names": np.array(["a.jpg", "bb.jpg"], object)}
    savemat(tmp_path / "x.mat", {"n": numbers, **cells}, format=version, do_compression=compressed and version == "5")
    found = read_mat(tmp_path / "x.mat")
    assert found["n"].tolist() == numbers.tolist()
    assert set(found) == {"n", *cells}
    if cells:
        assert texts(found["names"]) == ["a.jpg", "bb.jpg"]


def test_a_file_that_is_large_when_it_is_decompressed_is_refused(tmp_path, monkeypatch):
    savemat(tmp_path / "x.mat", {"a": np.zeros(10**6), "b": np.zeros(10**6)}, do_compression=True)
    assert (tmp_path / "x.mat").stat().st_size < 50_000
    assert read_mat(tmp_path / "x.mat")["b"].size == 10**6
    monkeypatch.setattr(mat, "MAX_BYTES", 12 * 10**6)
    with pytest.raises(DataError, match="more than 12,000,000 bytes after decompression"):
        read_mat(tmp_path / "x.mat")


def test_a_pipe_is_no_matlab_file(tmp_path):
    os.mkfifo(tmp_path / "x.mat")
    with pytest.raises(PlatformError, match="not a regular file"):
        read_mat(tmp_path / "x.mat")


def test_every_truncation_ends_in_our_error_or_in_fewer_variables(tmp_path):
    savemat(tmp_path / "x.mat", {"a": np.arange(5), "b": np.array(["x"], object)}, do_compression=True)
    whole = (tmp_path / "x.mat").read_bytes()
    refused = 0
    for end in range(0, len(whole), 7):
        (tmp_path / "x.mat").write_bytes(whole[:end])
        try:
            assert set(read_mat(tmp_path / "x.mat")) < {"a", "b"}, end
        except DataError:
            refused += 1
    assert refused > 20
