import numpy as np
import pytest
from scipy.io import savemat

from kinbits._errors import DataError, PlatformError
from kinbits.data._mat import read_mat, texts, variable


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
