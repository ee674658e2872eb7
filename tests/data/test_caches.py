"""The cache folder is measured and cleared; what a process is computing stays."""

import fcntl

import numpy as np
import pytest

from kinbits.data import FeatureCache, cache_use, clear_cache


@pytest.fixture
def filled(tmp_path, monkeypatch):
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path))
    entries = [FeatureCache().open({"data": name}, n=4, dim=512) for name in ("a", "b")]
    for entry in entries:
        entry.fill(lambda start, stop: (np.ones((stop - start, 512)), np.ones(stop - start, bool), []))
    (tmp_path / "arrow" / "table" / "version").mkdir(parents=True)
    (tmp_path / "arrow" / "table" / "version" / "table.arrow").write_bytes(bytes(8192))
    (tmp_path / "mine.txt").write_text("not of kinbits")
    return entries


def test_each_kind_is_measured(filled, tmp_path):
    features, arrow = cache_use()
    assert (features.name, features.entries, features.folder) == ("features", 2, tmp_path / "features")
    assert (arrow.name, arrow.entries) == ("arrow", 1)
    assert features.size >= 2 * 4 * 512 * 2
    assert arrow.size >= 8192


def test_clearing_frees_what_was_measured_and_nothing_else(filled, tmp_path):
    expected = sum(use.size for use in cache_use())
    assert clear_cache() == expected
    assert [(use.entries, use.size) for use in cache_use()] == [(0, 0), (0, 0)]
    assert (tmp_path / "mine.txt").read_text() == "not of kinbits"


def test_features_that_a_process_is_computing_stay(filled):
    with (filled[0].folder / "lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        clear_cache(["features"])
    assert filled[0].folder.is_dir()
    assert not filled[1].folder.exists()
    assert [use.entries for use in cache_use()] == [1, 1]


def test_a_cache_that_is_not_there_is_empty(tmp_path, monkeypatch):
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path / "none"))
    assert [(use.entries, use.size) for use in cache_use()] == [(0, 0), (0, 0)]
    assert clear_cache() == 0


def test_a_link_in_the_cache_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"a")
    (tmp_path / "cache" / "features").mkdir(parents=True)
    (tmp_path / "cache" / "features" / "link").symlink_to(tmp_path / "photos")
    clear_cache()
    assert (tmp_path / "photos" / "a.jpg").exists()
