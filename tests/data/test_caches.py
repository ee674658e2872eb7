"""The cache folder is measured and cleared; what a process is computing stays."""

import fcntl

import numpy as np
import pytest

from kinbits.data import FeatureCache, cache_use, clear_cache, open_dataset


@pytest.fixture
def filled(tmp_path, monkeypatch):
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path))
    entries = [FeatureCache().open({"data": name}, n=4, dim=512) for name in ("a", "b")]
    for entry in entries:
        entry.fill(lambda start, stop: (np.ones((stop - start, 512)), np.ones(stop - start, bool), []))
    copy = tmp_path / "arrow" / ("0a" * 16) / ("1b" * 16)
    copy.mkdir(parents=True)
    (copy / "table.arrow").write_bytes(bytes(8192))
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


NAME, OTHER = "0123456789" * 4, "ab" * 16


@pytest.mark.parametrize(
    "file",
    [
        "features/thesis/chapter.tex",
        f"features/{NAME}/notes.txt",  # named as an entry, with other files
        f"features/{NAME}/key.json",  # whose key is not that of its name
        "features/lock",
        "arrow/thesis/chapter.tex",
        f"arrow/{OTHER}/thesis/table.arrow",
        f"arrow/{OTHER}/{OTHER}/chapter.tex",
        f"arrow/{OTHER}/table.arrow",
    ],
)
def test_a_folder_that_kinbits_did_not_write_stays_and_is_named(filled, tmp_path, file):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("mine")
    kind, name = file.split("/")[:2]
    assert [path for use in cache_use() for path in use.others] == [tmp_path / kind / name]
    assert clear_cache() > 8192  # the entries next to it are removed
    assert (tmp_path / file).read_text() == "mine"
    assert [(use.entries, use.size) for use in cache_use()] == [(0, 0), (0, 0)]


def test_a_foreign_file_in_an_entry_keeps_the_entry(filled, tmp_path):
    (filled[0].folder / "notes.txt").write_text("mine")
    clear_cache()
    assert (filled[0].folder / "notes.txt").read_text() == "mine"
    assert cache_use()[0].others == (filled[0].folder,)


@pytest.mark.parametrize("link", ["features", "arrow", "features/" + NAME, f"arrow/{OTHER}", f"arrow/{OTHER}/{OTHER}"])
def test_a_link_in_the_cache_is_not_followed(filled, tmp_path, monkeypatch, link):
    cache = tmp_path / "cache"
    (cache / link).parent.mkdir(parents=True)
    (cache / link).symlink_to(filled[0].folder if NAME in link else tmp_path / link.split("/")[0])
    monkeypatch.setenv("KINBITS_CACHE", str(cache))
    assert clear_cache() == 0
    assert (cache / link).is_symlink()
    assert (filled[0].folder / "features.f16").stat().st_size == 4 * 512 * 2
    assert (tmp_path / "arrow" / ("0a" * 16) / ("1b" * 16) / "table.arrow").exists()


def test_a_linked_file_in_an_entry_is_neither_opened_nor_removed(filled, tmp_path):
    (tmp_path / "target").write_text("mine")
    (filled[0].folder / "lock").unlink()
    (filled[0].folder / "lock").symlink_to(tmp_path / "target")
    clear_cache()
    assert (tmp_path / "target").read_text() == "mine"
    assert (filled[0].folder / "lock").is_symlink()


def test_what_a_killed_process_left_of_a_new_entry_is_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path))
    entry, copy = tmp_path / "features" / NAME, tmp_path / "arrow" / OTHER / OTHER
    for folder, name in ((entry, "lock"), (copy, ".table.0123abcd.part.arrow")):
        folder.mkdir(parents=True)
        (folder / name).touch()
    clear_cache()
    assert not entry.exists()
    assert not copy.parent.exists()


def test_a_working_copy_made_by_kinbits_is_counted_and_a_new_one_replaces_no_foreign_folder(tmp_path, monkeypatch):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "t.parquet"
    for rows in (1, 2):
        pq.write_table(pa.table({"image": [b"a picture"] * rows}), path)
        assert len(open_dataset(path)) == rows
        (home,) = (tmp_path / "cache" / "arrow").iterdir()
        assert (cache_use()[1].entries, len(list(home.glob("*/table.arrow")))) == (int(rows == 1), 1)
        (home / "mine").mkdir(exist_ok=True)
        (home / "mine" / "a.txt").write_text("mine")
    clear_cache()
    assert (home / "mine" / "a.txt").read_text() == "mine"
