"""Hits travel between processes with all they hold, and print what a terminal shows and does not obey."""

import pickle

import numpy as np
import pytest

from kinbits.index import Index

CODES = np.array([[0], [1], [3], [7]], np.uint8)


def filled(path=None, **columns):
    return Index.create(path, bits=8).add(CODES, ids=["a", "b", "c", "d"], metadata=columns)


@pytest.mark.parametrize("place", [None, "x"])
def test_hits_are_pickled_with_metadata_and_codes(tmp_path, place):
    index = filled(place and tmp_path / place, sold=[True, False, None, True], year=[1, 2, 3, 4])
    one, several = index.search(CODES[0], k=3), index.search(CODES[:2], k=2)
    sent = pickle.dumps((one, one.take(np.array([2, 0])), several))
    index.delete(["a", "b", "c"]).compact()
    hits, taken, batch = pickle.loads(sent)
    assert hits.ids.tolist() == ["a", "b", "c"]
    assert hits.distances.tolist() == [0, 1, 2]
    assert hits.rows == [{"sold": True, "year": 1}, {"sold": False, "year": 2}, {"sold": None, "year": 3}]
    assert hits.codes.tolist() == CODES[:3].tolist()
    assert taken.to_dicts() == [hits[2], hits[0]]
    assert hits.take(np.array([1])).codes.tolist() == [[1]]
    assert batch.to_dicts() == several.to_dicts()
    assert pickle.loads(pickle.dumps(hits)).to_dicts() == hits.to_dicts()


def test_control_characters_are_shown_and_not_obeyed():
    index = Index.create(bits=8).add(
        CODES[:2],
        ids=["\x1b[2Jgone", "plain"],
        metadata={"t\x07": ["a\nb\x9b31m", None], "rtl": ["\u202eabc", "é😀"]},
    )
    assert repr(index.search(CODES[0])).split("\n") == [
        r"id           distance  t\x07       rtl",
        r"\x1b[2Jgone         0  a b\x9b31m  \u202eabc",
        r"plain               1              é😀",
    ]


def test_booleans_print_as_python_writes_them_and_text_stands_to_the_left():
    hits = filled(sold=[True, False, None, True], name=[None, "long name", "b", "c"]).search(CODES[0])
    assert repr(hits).split("\n")[:4] == [
        "id  distance   sold  name",
        "a          0   True",
        "b          1  False  long name",
        "c          2         b",
    ]
