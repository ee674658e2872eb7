"""What is guessed about a source is said, can be turned off, and gives way where the cells do not fit."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import encoded, image_folder, picture

from kinbits.data import doubtful_classes, open_dataset
from kinbits.errors import DataError


@pytest.fixture
def shop(tmp_path):
    """A catalogue of three articles."""
    image_folder(tmp_path, {"": 3})
    lines = [
        "sku,path,category,title,colour,price",
        "007,0.png,Bags,A red bag,Red,19.90",
        "008,1.png,Shoes,NA,Blue,5",
        "009,2.png,,,Red,",
    ]
    (tmp_path / "shop.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "shop.csv"


def test_a_catalogue_keeps_its_names(shop):
    data = open_dataset(shop)
    assert data.ids.tolist() == ["007", "008", "009"]
    assert data.metadata() == {
        "category": ["Bags", "Shoes", None],
        "title": ["A red bag", "NA", ""],
        "sku": ["007", "008", "009"],
        "path": ["0.png", "1.png", "2.png"],
        "colour": ["Red", "Blue", "Red"],
        "price": [19.9, 5.0, None],
    }
    assert data.guesses == (
        "images from column 'path'",
        "texts from column 'title'",
        "2 classes from column 'category': Bags, Shoes",
        "ids from column 'sku'",
    )


def test_what_is_named_is_no_guess(shop):
    data = open_dataset(
        shop, image_column="path", text_column="title", label_column="colour", id_column="path", label_separator=None
    )
    assert data.guesses == ()
    assert data.ids.tolist() == ["0.png", "1.png", "2.png"]
    assert data.metadata()["colour"] == ["Red", "Blue", "Red"]
    assert data.metadata()["category"] == ["Bags", "Shoes", None]


def test_labels_can_be_left_out_of_any_source(shop, tmp_path):
    data = open_dataset(shop, labels=False)
    assert (data.labels, data.label_space) == (None, None)
    assert data.columns["category"] == ["Bags", "Shoes", None]
    folder = open_dataset(image_folder(tmp_path / "photos", {"2019": 2, "2020": 1}), labels=False)
    assert (folder.labels, folder.guesses, folder.columns) == (None, (), {"folder": ["2019", "2019", "2020"]})
    assert open_dataset(np.ones((2, 3), np.float32), labels=False).labels is None
    np.savez(tmp_path / "v.npz", vectors=np.ones((2, 3), np.float32), labels=[0, 1])
    assert open_dataset(tmp_path / "v.npz", labels=False).labels is None


@pytest.mark.parametrize(
    ("column", "cells", "why"),
    [
        ("y", ["0.5", "1.25"], "it holds numbers with fractions"),
        ("category", ["2020-01-05", "2021-12-31"], "it holds dates"),
        ("label", ["", ""], "it is empty"),
        ("id", ["", "a"], "the id of row 0 (counted from 0) is missing"),
        ("id", ["a", "a"], "some rows have the same id"),
    ],
)
def test_a_guess_gives_way_to_the_cells_of_a_csv(tmp_path, column, cells, why):
    image_folder(tmp_path, {"": 2})
    lines = [f"path,{column}", *(f"{row}.png,{cell}" for row, cell in enumerate(cells))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    data = open_dataset(tmp_path / "t.csv")
    assert (data.labels, data.ids.tolist()) == (None, ["0.png", "1.png"])
    assert [str(cell) for cell in data.columns[column] if cell is not None] == [cell for cell in cells if cell]
    what = "ids" if column == "id" else "labels"
    assert f"column '{column}' is not used as {what}: {why}" in data.guesses


@pytest.mark.parametrize(
    ("column", "cells", "why"),
    [
        ("y", [0.5, 1.25], "row 0 (counted from 0) is 0.5"),
        ("category", pa.array([0, 86400], pa.timestamp("s")), "it holds dates or times"),
        ("label", [{"a": 1}, None], "{'a': 1}"),
        ("id", [[1], [2]], "[1]"),
        ("text", [{"a": 1}, None], "{'a': 1}"),
    ],
)
def test_a_guess_gives_way_to_the_cells_of_a_parquet_table(tmp_path, column, cells, why):
    table = pa.table({"image": [encoded(picture(seed)) for seed in range(2)], column: cells})
    pq.write_table(table, tmp_path / "t.parquet")
    data = open_dataset(tmp_path / "t.parquet")
    assert (data.labels, data.texts, data.ids.tolist()) == (None, None, [0, 1])
    assert len(data.columns[column]) == 2
    assert why in next(guess for guess in data.guesses if guess.startswith(f"column '{column}' is not used as"))
    if column != "category":  # dates may be classes where somebody says so
        with pytest.raises(DataError, match="counted from 0"):
            open_dataset(
                tmp_path / "t.parquet", **{"label_column" if column in "y label" else f"{column}_column": column}
            )


def test_arrays_beside_vectors_that_do_not_fit_are_no_labels(tmp_path):
    np.savez(tmp_path / "v.npz", x=np.ones((2, 3), np.float32), y=[0.5, 0.25], name="a set", id=[3, 4])
    data = open_dataset(tmp_path / "v.npz")
    assert (data.labels, data.ids.tolist()) == (None, [3, 4])
    assert any(guess.startswith("array 'y' is not used as labels") for guess in data.guesses)
    with pytest.raises(DataError, match="row 0"):
        open_dataset(tmp_path / "v.npz", label_column="y")


@pytest.mark.parametrize(
    "names", [("train", "test"), ("Train", "Testing"), ("TRAINING", "Validation"), ("val", "Query")]
)
@pytest.mark.parametrize("stray", [False, True])
def test_split_folders_are_no_classes_in_any_case_and_company(tmp_path, names, stray):
    image_folder(tmp_path, {f"{names[0]}/cat": 1, f"{names[1]}/dog": 1})
    if stray:
        picture(9).save(tmp_path / "contact.png")
    data = open_dataset(tmp_path)
    assert data.label_space.names == ("cat", "dog")
    found = dict(zip(data.ids.tolist(), zip(data.columns["split"], data.labels.tolist(), strict=True), strict=True))
    expected = {f"{names[0]}/cat/0.png": (names[0], 0), f"{names[1]}/dog/0.png": (names[1], 1)}
    assert found == expected | ({"contact.png": (None, -1)} if stray else {})
    assert any("1 images next to them" in guess for guess in data.guesses) is stray
    assert open_dataset(tmp_path, split=names[1]).ids.tolist() == [f"{names[1]}/dog/0.png"]


def test_one_class_called_test_is_a_class(tmp_path):
    assert open_dataset(image_folder(tmp_path, {"cat": 1, "test": 1})).label_space.names == ("cat", "test")


def test_a_file_name_that_is_no_unicode_is_read(tmp_path):
    image_folder(tmp_path, {"cat": 1})
    os.rename(tmp_path / "cat" / "0.png", os.fsencode(tmp_path) + b"/cat/caf\xe9.png")
    os.mkdir(os.fsencode(tmp_path) + b"/d\xf6g")
    picture(1).save(tmp_path / "cat" / "1.png")
    os.rename(tmp_path / "cat" / "1.png", os.fsencode(tmp_path) + b"/d\xf6g/1.png")
    data = open_dataset(tmp_path)
    assert data.ids.tolist() == ["cat/caf\\udce9.png", "d\\udcf6g/1.png"]
    assert data.label_space.names == ("cat", "d\\udcf6g")
    assert [data.image(row).size for row in range(2)] == [(12, 8)] * 2
    assert len(data.fingerprint) == 64
    listed = open_dataset([os.fsencode(tmp_path) + b"/cat/caf\xe9.png"])
    assert listed.ids.tolist() == [f"{tmp_path}/cat/caf\\udce9.png"]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["2019", "2020", "odd"], "dates (2019, 2020)"),
        (["2019-07 Italy", "June 2020"], "dates (2019-07 Italy, June 2020)"),
        (["100CANON", "DCIM", "Camera Roll"], "cameras, phones and programs give (100CANON, Camera Roll, DCIM)"),
        (["IMG_0001", "cat"], "give (IMG_0001)"),
        (["cat", "cat copy", "cat (2)"], "copies (cat (2), cat copy)"),
        (["1", "2", "17"], "numbers (1, 2, 17)"),
        (["cat", "octopus", "marble"], None),
        (["0", "1", "2"], None),
    ],
)
def test_folder_names_that_are_hardly_classes_raise_doubts(tmp_path, names, told):
    doubts = doubtful_classes(open_dataset(image_folder(tmp_path, dict.fromkeys(names, 2))))
    assert doubts is None if told is None else told in doubts and "no labels instead" in doubts


def test_a_class_of_one_image_and_only_folders_raise_doubts(tmp_path, shop):
    data = open_dataset(image_folder(tmp_path / "photos", {"cat": 2, "dog": 1}))
    assert "classes of one image (dog)" in doubtful_classes(data)
    assert doubtful_classes(data.select(data.labels == 0)) is None
    assert doubtful_classes(open_dataset(shop)) is None
