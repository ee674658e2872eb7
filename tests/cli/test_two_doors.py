"""What one door made, the other opens: indexes with their models, files of codes."""

import json

import numpy as np
import pytest

import kinbits
from kinbits.encoding import encode_to_file, read_codes, write_codes


@pytest.fixture
def rows(vectors):
    return np.load(vectors)["vectors"]


def shown(ended):
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def ids_of(hits):
    return [hit["id"] for hit in hits]


def test_an_index_of_the_command_line_opens_in_python_with_its_model(run, index, vectors, rows):
    here = kinbits.Index.open(index)
    expected = [ids_of(one["hits"]) for one in shown(run("search", index, vectors, "-k", "4", "--json"))]
    assert [hits.ids.tolist() for hits in here.search(rows, k=4)] == expected
    here.add(rows[:2] + 9, ids=["new 1", "new 2"])
    assert shown(run("index", "info", index, "--json"))["items"] == 62


def test_an_index_of_python_is_searched_by_the_command_line(run, model, vectors, rows):
    loaded = kinbits.HashModel.from_pretrained(model)
    data = kinbits.open_dataset(vectors)
    here = kinbits.Index.create("python.index", data, model=loaded)
    found = shown(run("search", "python.index", vectors, "-k", "4", "--json"))
    assert [ids_of(one["hits"]) for one in found] == [hits.ids.tolist() for hits in here.search(rows, k=4)]
    known = shown(run("index", "info", "python.index", "--json"))
    assert (known["model"], known["image_roots"]) == (str(model.absolute()), [str(vectors.parent)])
    assert run("index", "add", "python.index", vectors, "--upsert").code == 0
    assert len(here.refresh()) == 60


def test_both_doors_make_the_same_index(run, index, model, vectors):
    data = kinbits.open_dataset(vectors)
    kinbits.Index.create("python.index", data, model=model)
    ours, theirs = (kinbits.Index.open(folder).to_codes() for folder in ("python.index", index))
    assert ours.codes.tolist() == theirs.codes.tolist()
    assert ours.ids.tolist() == theirs.ids.tolist() == data.ids.tolist()
    assert ours.columns == theirs.columns == data.metadata()
    assert (ours.fingerprint, ours.model) == (theirs.fingerprint, theirs.model)


def test_files_of_codes_go_both_ways(run, index, model, vectors, tmp_path):
    assert run("encode", model, vectors, "-o", "theirs.parquet").code == 0
    encode_to_file(kinbits.HashModel.from_pretrained(model), kinbits.open_dataset(vectors), "ours.parquet")
    ours, theirs = read_codes("ours.parquet"), read_codes("theirs.parquet")
    assert ours.codes.tolist() == theirs.codes.tolist()
    assert (ours.columns, ours.model, ours.root) == (theirs.columns, theirs.model, theirs.root)
    write_codes("copy.parquet", kinbits.Index.open(index).to_codes())
    assert run("index", "create", "copy.index", "copy.parquet").code == 0
    query = [vectors, "-k", "3", "--json"]
    assert run("search", "copy.index", *query).out == run("search", index, *query).out


def test_a_model_is_named_where_it_is_not_found(run, index, vectors, tmp_path):
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    assert "name the model" in run("search", index, vectors).error
    assert run("search", index, vectors, "--model", "elsewhere").code == 0
    assert run("index", "add", index, vectors, "--upsert", "--model", "elsewhere").code == 0
    assert run("search", index, vectors).code == 0  # the index has noted the new place
    assert kinbits.Index.open(index).model.folder == tmp_path / "elsewhere"
