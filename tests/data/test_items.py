"""A file that has changed is never answered from what was kept of the old one."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import encoded, image_folder, picture

from kinbits.data import ArrayItems, ArrowItems, CroppedItems, FeatureCache, VectorItems, as_dataset, open_dataset
from kinbits.data.cache import cache_folder
from kinbits.data.items import file_identity, image_identity


def same_stat(path, change):
    """Change a file and put its time of modification back."""
    before = path.stat()
    change()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # until the clock of the file system has ticked
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def overwrite(path, start, data):
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data)


def table(path, seed):
    """Write an uncompressed table of two images; those of all seeds have one size."""
    blobs = [encoded(picture(seed + row, (16, 16)), "BMP") for row in range(2)]
    pq.write_table(pa.table({"image": blobs, "label": [seed % 2, 1]}), path, compression="none", use_dictionary=False)


@pytest.mark.parametrize("how", ["in place", "by a new file"])
def test_a_table_that_was_replaced_at_one_time_is_read_anew(tmp_path, how):
    path = tmp_path / "t.parquet"
    table(path, 0)
    first = open_dataset(path)

    def replace():
        new = path if how == "in place" else tmp_path / "new"
        table(new, 5)
        os.replace(new, path)

    same_stat(path, replace)
    second = open_dataset(path)
    assert second.labels.tolist() == [1, 1]
    assert (np.asarray(second.image(0)) == np.asarray(picture(5, (16, 16)))).all()
    assert second.fingerprint != first.fingerprint
    assert (np.asarray(first.image(0)) == np.asarray(picture(0, (16, 16)))).all()  # who has the old copy open keeps it


def test_only_the_newest_copy_of_a_table_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "t.parquet"
    for seed in range(3):
        table(path, seed)
        open_dataset(path)
        (home,) = (tmp_path / "cache" / "arrow").iterdir()
        assert len(list(home.iterdir())) == 1


@pytest.mark.parametrize("at", [0, 30_000, 69_990])
def test_an_image_that_was_changed_at_one_time_has_another_fingerprint(tmp_path, at):
    image_folder(tmp_path, {"cat": 1})
    path = tmp_path / "cat" / "0.bmp"
    os.remove(tmp_path / "cat" / "0.png")
    path.write_bytes(np.random.default_rng(0).bytes(70_000))
    before = open_dataset(tmp_path).fingerprint
    assert open_dataset(tmp_path).fingerprint == before
    same_stat(path, lambda: overwrite(path, at, b"changed"))
    assert open_dataset(tmp_path).fingerprint != before


def test_whole_small_tables_and_blocks_of_large_ones_are_read(tmp_path):
    small = tmp_path / "small.npy"
    small.write_bytes(bytes(100_000))
    names = {file_identity(small), image_identity(small)}
    for start in (0, 50_000, 99_999):
        overwrite(small, start, b"x")
        names |= {file_identity(small)}
    assert len(names) == 5
    large = tmp_path / "large.npy"
    with large.open("wb") as file:
        file.truncate(1 << 30)  # a hole, which takes no room
    before = file_identity(large)
    overwrite(large, (1 << 30) - 1, b"x")
    assert file_identity(large) != before


def test_what_is_no_file_has_a_name_too(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "nowhere", tmp_path / "pipe", "a\0b", tmp_path):
        assert image_identity(path).endswith("|missing")


def test_the_hash_of_contents_stays_where_files_are_moved_and_touched(tmp_path):
    images = open_dataset(image_folder(tmp_path / "a", {"cat": 3})).items
    before = images.content_hash()
    (tmp_path / "a").rename(tmp_path / "b")
    os.utime(tmp_path / "b" / "cat" / "0.png", ns=(0, 0))
    moved = open_dataset(tmp_path / "b").items
    assert moved.content_hash() == before
    assert moved.select([0, 1]).content_hash() != before
    assert moved.select([2, 1, 0]).content_hash() != before
    blobs = [path.read_bytes() for path in sorted((tmp_path / "b" / "cat").iterdir())]
    assert ArrowItems(pa.chunked_array([blobs]), "any name").content_hash() == before
    boxes = [np.full((3, 4), np.nan), np.tile([0.0, 0, 4, 4], (3, 1))]
    paths = sorted((tmp_path / "b" / "cat").iterdir())
    assert len({CroppedItems(paths, some).content_hash() for some in boxes} | {before}) == 3
    (tmp_path / "b" / "cat" / "1.png").write_bytes(blobs[0])
    changed = moved.content_hash()
    assert changed != before
    (tmp_path / "b" / "cat" / "1.png").unlink()
    assert moved.content_hash() not in (changed, before)


def test_arrays_have_a_hash_of_their_contents_whatever_they_are_called():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 6), dtype=np.uint8)
    assert ArrayItems(pixels, "a").content_hash() == ArrayItems(pixels, "b").content_hash()
    assert ArrayItems(pixels).select([0, 2]).content_hash() == ArrayItems(pixels[[0, 2]]).content_hash()
    assert ArrayItems(pixels).content_hash() != ArrayItems(pixels ^ 1).content_hash()
    vectors = pixels.reshape(4, 30).astype(np.float32)
    assert VectorItems(vectors, "a").content_hash() == VectorItems(vectors, "b").content_hash()
    assert VectorItems(vectors).select([3]).content_hash() != VectorItems(vectors).content_hash()
    pictures = as_dataset([picture(0), picture(1)]).items
    assert pictures.content_hash() == as_dataset([picture(0), picture(1)]).items.content_hash()
    assert pictures.content_hash() != as_dataset([picture(0), picture(2)]).items.content_hash()


def test_one_folder_holds_all_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("KINBITS_CACHE", str(tmp_path))
    assert (FeatureCache().root, cache_folder("arrow")) == (tmp_path / "features", tmp_path / "arrow")
    monkeypatch.delenv("KINBITS_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert FeatureCache().root == tmp_path / ".cache" / "kinbits" / "features"
