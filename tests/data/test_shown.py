"""Data sets and splits as a terminal and a notebook show them."""

import base64
from io import BytesIO

import numpy as np
from PIL import Image

from kinbits.data import ArrayItems, Dataset, LabelSpace, data_uri, open_dataset, split_folder

EVIL = "<script>alert('x')</script>"


def pictures(names=("cat", EVIL), count=40):
    pixels = np.random.default_rng(0).integers(0, 255, (count, 9, 9, 3), dtype=np.uint8)
    labels = np.arange(count) % len(names)
    return Dataset(ArrayItems(pixels), np.arange(count), labels, LabelSpace(tuple(names)), name=EVIL)


def test_a_data_set_and_its_splits_print_in_one_line():
    data = pictures()
    assert repr(data) == f"Dataset({EVIL}: 40 images, 2 classes)"
    assert repr(split_folder(data)).count("\n") == 0
    assert len(repr(split_folder(data))) < 120


def test_a_notebook_shows_the_first_images_and_escapes_what_the_source_says():
    page = pictures()._repr_html_()
    assert page.count("<img ") == 8
    assert page.count('title="cat"') == 4
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_parts_of_a_split_have_a_row_of_images_each():
    splits = split_folder(pictures())
    page = splits._repr_html_()
    assert page.count("<tr>") == 3
    assert page.count("<img ") == sum(min(8, len(part)) for part in (splits.train, splits.query, splits.database))
    assert "<script" not in page


def test_vectors_have_no_pictures():
    assert "<img" not in open_dataset(np.zeros((3, 4), np.float32))._repr_html_()


def test_a_picture_is_shrunk_to_a_small_file():
    uri = data_uri(Image.new("RGBA", (400, 200), "red"), 96)
    image = Image.open(BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert (image.format, image.size) == ("WEBP", (96, 48))
