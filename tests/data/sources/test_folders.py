import os

import numpy as np
import pytest
from tiny import encoded, image_folder, picture

from kinbits.data import open_dataset, readable
from kinbits.errors import DataError, KinbitsError


def reasons(data):
    return {skipped.id: skipped.reason for skipped in data.skipped}


def test_class_subfolders_become_labels(tmp_path):
    data = open_dataset(image_folder(tmp_path, {"dog": 2, "cat": 3}))
    assert data.ids.tolist() == ["cat/0.png", "cat/1.png", "cat/2.png", "dog/0.png", "dog/1.png"]
    assert data.label_space.names == ("cat", "dog")
    assert data.labels.tolist() == [0, 0, 0, 1, 1]
    assert (np.asarray(data.image(0)) == np.asarray(picture(2))).all()


def test_flat_folder_has_no_labels(tmp_path):
    picture().save(tmp_path / "a.PNG")
    data = open_dataset(str(tmp_path))
    assert (data.labels, data.label_space, data.texts, len(data)) == (None, None, None, 1)


def test_images_outside_of_class_folders_are_unlabelled(tmp_path):
    image_folder(tmp_path, {"cat": 1})
    picture().save(tmp_path / "z.png")
    assert open_dataset(tmp_path).labels.tolist() == [0, -1]


def test_split_folders_become_a_column(tmp_path):
    image_folder(tmp_path, {"train/cat": 2, "train/dog": 1, "test/dog": 2})
    data = open_dataset(tmp_path)
    assert data.label_space.names == ("cat", "dog")
    assert list(data.columns["split"]) == ["test"] * 2 + ["train"] * 3
    assert len(open_dataset(tmp_path, split="test")) == 2
    with pytest.raises(DataError, match="test, train"):
        open_dataset(tmp_path, split="val")


def test_order_does_not_depend_on_creation(tmp_path):
    for name in ("b.png", "a.png", "C.png", "ä.png", "a b.png"):
        picture().save(tmp_path / name)
    assert open_dataset(tmp_path).ids.tolist() == ["C.png", "a b.png", "a.png", "b.png", "ä.png"]


def test_hidden_files_are_passed_over_and_others_are_counted(tmp_path):
    image_folder(tmp_path, {"cat": 1, ".thumbs": 2})
    picture().save(tmp_path / "cat" / "._0.png")
    for name in ("notes.txt", "README", "cat/list.json"):
        (tmp_path / name).write_text("x")
    data = open_dataset(tmp_path)
    assert data.ids.tolist() == ["cat/0.png"]
    assert data.ignored == {".txt": 1, "": 1, ".json": 1}
    assert data.hidden == {".*": 1, "._*": 1}
    assert data.skipped == ()
    assert "3 other files (.json 1, .txt 1, no extension 1)" in data.describe()


def test_links_cannot_trap_the_walk(tmp_path):
    image_folder(tmp_path, {"cat": 1})
    (tmp_path / "cat" / "up").symlink_to(tmp_path)
    (tmp_path / "a_link").symlink_to(tmp_path / "cat")
    data = open_dataset(tmp_path)
    assert data.ids.tolist() == ["cat/0.png"]
    assert set(reasons(data)) == {"a_link", "cat/up"}


def test_links_to_outside_folders_are_followed_once(tmp_path):
    image_folder(tmp_path / "outside", {"dog": 2})
    image_folder(tmp_path / "in", {"cat": 1})
    (tmp_path / "in" / "dog").symlink_to(tmp_path / "outside" / "dog")
    assert open_dataset(tmp_path / "in").ids.tolist() == ["cat/0.png", "dog/0.png", "dog/1.png"]


def test_empty_files_broken_links_and_damage_are_listed_never_fatal(tmp_path):
    image_folder(tmp_path, {"cat": 2})
    (tmp_path / "cat" / "zero.jpg").touch()
    (tmp_path / "cat" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "cat" / "text.jpg").write_text("no image")
    (tmp_path / "cat" / "cut.png").write_bytes(encoded(picture(size=(64, 64)))[:2000])
    data = open_dataset(tmp_path)
    assert set(reasons(data)) == {"cat/zero.jpg", "cat/gone.jpg"}
    clean = readable(data, threads=2)
    assert clean.ids.tolist() == ["cat/0.png", "cat/1.png"]
    assert clean.labels.tolist() == [0, 0]
    found = reasons(clean)
    assert "0 bytes" in found["cat/zero.jpg"]
    assert "missing" in found["cat/gone.jpg"]
    assert "not an image" in found["cat/text.jpg"]
    assert "truncated" in found["cat/cut.png"]
    assert "skipped 4" in clean.describe()


def test_nothing_readable_is_an_error_with_the_reason(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(DataError, match=r"no usable image, 1 skipped .*a\.png: not an image.*replace"):
        readable(open_dataset(tmp_path))


def test_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"holds no files.*check the folder"):
        open_dataset(tmp_path)
    (tmp_path / "a.pdf").write_text("x")
    (tmp_path / "b.png").touch()
    with pytest.raises(DataError, match=r"1 other file \(\.pdf\); 1 skipped: file is empty"):
        open_dataset(tmp_path)


def test_missing_source_and_unknown_kind(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        open_dataset(tmp_path / "nowhere")
    (tmp_path / "a.docx").write_text("x")
    for source in (tmp_path / "a.docx", 7):
        with pytest.raises(KinbitsError, match=r"\.parquet"):
            open_dataset(source)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_listed(tmp_path):
    image_folder(tmp_path, {"cat": 1, "locked": 1})
    (tmp_path / "locked").chmod(0)
    try:
        assert "cannot be read" in reasons(open_dataset(tmp_path))["locked"]
    finally:
        (tmp_path / "locked").chmod(0o755)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("captions.csv", 'file_name,text\ncat/0.png,"one, two"\n1.png,second\ncat/9.png,lost\n'),
        ("captions.tsv", "image\tcaption\ncat/0.png\tone, two\n1.png\tsecond\ncat/9.png\tlost\n"),
        ("captions.txt", "cat/0.png\tone, two\n1.png\tsecond\ncat/9.png\tlost\n"),
        ("captions.txt", "cat/0.png one, two\n1.png second\ncat/9.png lost\n"),
        ("captions.txt", "cat/0.png#0\tone,\ncat/0.png#1\ttwo\n1.png#0\tsecond\ncat/9.png#0\tlost\n"),
    ],
)
def test_captions_become_texts(tmp_path, name, text):
    image_folder(tmp_path, {"cat": 3})
    (tmp_path / name).write_text(text)
    data = open_dataset(tmp_path)
    assert data.texts == ("one, two", "second", "")
    assert list(reasons(data)) == ["cat/9.png"]
    assert data.select([1]).texts == ("second",)


def test_captions_that_match_nothing_are_an_error(tmp_path):
    image_folder(tmp_path, {"cat": 1})
    (tmp_path / "captions.txt").write_text("other.png hello\n")
    with pytest.raises(DataError, match=r"other\.png"):
        open_dataset(tmp_path)
    (tmp_path / "captions.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="header"):
        open_dataset(tmp_path)


def test_list_file_with_one_hot_rows_is_single_label(tmp_path):
    image_folder(tmp_path, {"c": 3})
    (tmp_path / "train.txt").write_text("c/0.png 0 1 0\nc/1.png 1 0 0\nc/2.png 0 0 1\n")
    data = open_dataset(tmp_path / "train.txt")
    assert data.labels.tolist() == [1, 0, 2]
    assert not data.label_space.multi


def test_list_file_with_several_ones_is_multi_label(tmp_path):
    image_folder(tmp_path, {"a b": 2})
    (tmp_path / "train.txt").write_text("a b/0.png 0 1 1\na b/1.png 0 0 0\n")
    data = open_dataset(tmp_path / "train.txt", label_names=["x", "y", "z"])
    assert data.label_space.multi
    assert data.labels.tolist() == [[0, 1, 1], [0, 0, 0]]
    assert data.ids.tolist() == ["a b/0.png", "a b/1.png"]


def test_list_file_with_class_numbers_keeps_them(tmp_path):
    image_folder(tmp_path / "images", {"c": 2})
    (tmp_path / "db.txt").write_text("c/0.png 7\nc/1.png 3\nc/5.png 3\n")
    data = open_dataset(tmp_path / "db.txt", root=tmp_path / "images")
    assert data.labels.tolist() == [7, 3]
    assert data.label_space.classes == 8
    assert reasons(data) == {"c/5.png": "file is missing"}


def test_parallel_image_and_label_lists_are_read_as_one(tmp_path):
    image_folder(tmp_path, {"c": 2})
    (tmp_path / "query_img.txt").write_text("c/0.png\nc/1.png\n")
    (tmp_path / "query_label.txt").write_text("0 1\n1 1\n")
    assert open_dataset(tmp_path / "query_img.txt").labels.tolist() == [[0, 1], [1, 1]]
    (tmp_path / "query_label.txt").write_text("0 1\n")
    with pytest.raises(DataError, match="lines"):
        open_dataset(tmp_path / "query_img.txt")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("c/0.png 0 1\nc/1.png 1\n", "item 2 has 1 labels"),
        ("c/0.png 0 2\nc/1.png 1 0\n", "only 0 and 1"),
        ("no/where.png 1\n", "root="),
    ],
)
def test_broken_lists_say_why(tmp_path, text, reason):
    image_folder(tmp_path, {"c": 2})
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(DataError, match=reason):
        open_dataset(tmp_path / "list.txt")


def test_a_list_of_paths_keeps_labels_beside_their_images(tmp_path):
    image_folder(tmp_path, {"c": 2})
    paths = [tmp_path / "c/1.png", tmp_path / "c/7.png", tmp_path / "c/0.png"]
    data = open_dataset(paths, labels=["u", "v", "w"], texts=["1", "2", "3"])
    assert data.labels.tolist() == [0, 2]
    assert data.texts == ("1", "3")
    assert len(open_dataset(tmp_path / "c/0.png")) == 1


def test_fingerprint_follows_the_files(tmp_path):
    image_folder(tmp_path, {"cat": 3})
    before = open_dataset(tmp_path).fingerprint
    assert open_dataset(tmp_path).fingerprint == before
    assert open_dataset(tmp_path).select([0, 1]).fingerprint != before
    os.utime(tmp_path / "cat" / "1.png", ns=(1, 1))
    changed = open_dataset(tmp_path)
    assert changed.fingerprint != before
    part = changed.select([0, 2]).fingerprint
    os.utime(tmp_path / "cat" / "1.png", ns=(2, 2))
    assert open_dataset(tmp_path).select([0, 2]).fingerprint == part
