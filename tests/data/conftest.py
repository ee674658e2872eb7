"""Fixtures of the data tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Keep working copies out of the user's cache, shared by the tests of one run."""
    base = tmp_path_factory.getbasetemp() / "kinbits-cache"
    monkeypatch.setenv("KINBITS_CACHE", str(base))
    return base


@pytest.fixture
def real_data():
    """Find the folder of real data sets, named by KINBITS_DATA."""
    for part in os.environ.get("KINBITS_DATA", "").split(os.pathsep):
        if part and (Path(part) / "cifar10.parquet").is_file():
            return Path(part)
    pytest.skip("real data are absent: KINBITS_DATA names no folder with cifar10.parquet")
