"""kinbits search takes a file of codes, and then needs no model."""

import json

import numpy as np
import pytest

from kinbits.index import Index


@pytest.fixture
def stored(tmp_path):
    """An index of 32-bit codes without a model, and the codes."""
    codes = np.random.default_rng(0).integers(0, 256, (50, 4), dtype=np.uint8)
    Index.create(tmp_path / "some.index", bits=32).add(codes, ids=[f"item {n}" for n in range(50)])
    return codes


def test_an_array_of_codes_is_searched_with(run, stored, tmp_path):
    np.save(tmp_path / "queries.npy", stored[[7, 3]])
    found = json.loads(run("search", "some.index", "queries.npy", "-k", "1", "--json").out)
    assert [(one["query"], one["hits"][0]["id"], one["hits"][0]["distance"]) for one in found] == [
        ("0", "item 7", 0),
        ("1", "item 3", 0),
    ]


def test_an_encoded_file_is_searched_with(run, index, model, vectors):
    assert run("encode", "model", vectors, "-o", "codes.parquet").code == 0
    found = json.loads(run("search", index, "codes.parquet", "-k", "1", "--json").out)
    assert len(found) == 60
    assert (found[5]["query"], found[5]["hits"][0]["distance"]) == ("item 005", 0)


def test_codes_of_another_length_are_refused(run, stored, tmp_path):
    np.save(tmp_path / "longer.npy", np.zeros((2, 5), np.uint8))
    assert "codes of 5 bytes, not 32-bit codes" in run("search", "some.index", "longer.npy").error


def test_codes_of_another_model_are_refused(run, index, vectors, more_vectors):
    assert run("fit", more_vectors, "-o", "other", "--bits", "16", "--epochs", "1").code == 0
    assert run("encode", "other", vectors, "-o", "other.parquet").code == 0
    ended = run("search", index, "other.parquet")
    assert ended.code == 4
    assert "the index was made with another model" in ended.error


def test_an_array_of_other_numbers_is_no_query(run, stored, tmp_path):
    np.save(tmp_path / "floats.npy", np.zeros((2, 4), np.float32))
    assert run("search", "some.index", "floats.npy").code != 0


def test_codes_cannot_be_compared_by_features(run, stored, tmp_path):
    np.save(tmp_path / "queries.npy", stored[:1])
    for flag in ("--rerank", "--rescore"):
        ended = run("search", "some.index", "queries.npy", flag, "5")
        assert ended.code == 2
        assert "--rerank and --rescore compare features" in ended.error
