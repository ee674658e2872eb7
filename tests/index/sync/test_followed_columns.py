"""Columns of an item whose file has changed or moved: what a user has set stays."""

import pytest

from kinbits.index.sync.columns import followed_columns


@pytest.mark.parametrize(
    ("name", "old", "new", "wanted"),
    [
        ("label", "cat", "dog", "dog"),  # the folder of the old path: the file says so
        ("label", "tiger", "dog", "tiger"),  # a user
        ("label", None, "dog", "dog"),
        ("label", "cat", None, None),  # now in no class folder
        ("label", "tiger", None, "tiger"),
        ("split", "train", "test", "test"),
        ("text", "old words", "new words", "new words"),
        ("text", "old words", "", "old words"),
        ("text", "old words", None, "old words"),
        ("price", 3, None, 3),
    ],
)
def test_one_value(name, old, new, wanted):
    assert followed_columns({name: [new]}, [{name: old}], ["train/cat/1.png"]) == {name: [wanted]}


def test_columns_of_only_one_side():
    found = followed_columns({"label": ["cat", "dog"]}, [{"price": 3}, {}], ["a.png", "b.png"])
    assert found == {"price": [3, None], "label": ["cat", "dog"]}
    assert followed_columns({}, [{"label": "cat"}], ["cat/a.png"]) == {"label": [None]}
