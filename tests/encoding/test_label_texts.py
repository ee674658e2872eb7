"""Labels as text become numbers."""

import numpy as np

from kinbits import HashModel, open_dataset
from kinbits.backbones import load_backbone
from kinbits.data import LabelSpace
from kinbits.encoding import CodesFile, encode_collection, encode_to_file, read_codes
from kinbits.encoding.label_texts import label_numbers
from kinbits.heads import build_head
from kinbits.model import Tower

HEAD = {"name": "linear", "features": 3, "bits": 8}


def labels(texts):
    return CodesFile(np.zeros((len(texts), 1), np.uint8), np.arange(len(texts)), 8, {"label": texts}).labels("label")


def test_labels_that_were_written_are_numbered_again():
    space = LabelSpace(("cat", "dog"))
    assert labels(space.texts(np.array([1, 0, -1, 1]))).tolist() == [1, 0, -1, 1]
    several = LabelSpace(("cat", "dog", "red"), multi=True)
    rows = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]], np.uint8)
    assert labels(several.texts(rows)).tolist() == rows.astype(bool).tolist()


def test_no_labels_are_none():
    assert labels([None, None]) is None
    assert CodesFile(np.zeros((2, 1), np.uint8), np.arange(2), 8).labels("label") is None


def test_too_many_combinations_are_a_class_each():
    assert label_numbers(["a, b", "b", None, "a, b"], cells=5).tolist() == [0, 1, -1, 0]


def test_a_class_with_a_comma_is_one_label(tmp_path):
    model = HashModel({"image": Tower(load_backbone("features", dim=3), build_head(HEAD))})
    names = ["Paris, France", "Lyon, France", "Paris, France"]
    encode_to_file(model, open_dataset(np.eye(3), labels=names), tmp_path / "one.parquet")
    assert read_codes(tmp_path / "one.parquet").labels("label").tolist() == [1, 0, 1]
    assert encode_collection(model, open_dataset(np.eye(3), labels=names)).labels("label").tolist() == [1, 0, 1]
    rows = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]])
    encode_to_file(model, open_dataset(np.eye(3), labels=rows), tmp_path / "several.parquet")
    assert read_codes(tmp_path / "several.parquet").labels("label").tolist() == rows.astype(bool).tolist()
