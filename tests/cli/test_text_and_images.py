"""Images with texts on the command line: fit, search one by the other, evaluate, and captions that are missing."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import kinbits

COLOURS, EACH = ("green", "blue", "red"), 8


@pytest.fixture
def shop(images):
    """Two dozen pictures in three colours; one has no caption, one has two."""
    folder = images("shop", **dict.fromkeys(COLOURS, EACH))
    lines = [f"{c}/{n}.png,a {c} thing" for c in COLOURS for n in range(EACH) if (c, n) != ("red", 5)]
    Path(folder / "captions.csv").write_text("\n".join(["file_name,text", *lines, "red/0.png,quite red"]) + "\n")
    return folder


@pytest.fixture
def crossing(run, shop):
    """A model of both, fitted on them."""
    ended = run("fit", shop, "-o", "model", "--method", "djsrh", "--bits", 16, "--epochs", 20, "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["skipped"] == [{"id": "red/5.png", "reason": "no text"}]
    return Path("model")


def hits(run, *arguments):
    ended = run("search", *arguments, "--json")
    assert ended.code == 0, ended.err
    return [[hit["label"] for hit in one["hits"]] for one in json.loads(ended.out)]


def test_texts_find_images_images_find_texts_and_all_directions_are_measured(run, shop, crossing):
    assert run("index", "create", "pictures.index", crossing, shop).code == 0
    assert hits(run, "pictures.index", "--text", "a red thing", "--text", "a blue thing", "-k", 5) == [
        ["red"] * 5,
        ["blue"] * 5,
    ]
    made = run("index", "create", "words.index", crossing, shop, "--modality", "text", "--json")
    told = json.loads(made.out)
    assert (told["items"], told["skipped"]) == (23, [{"id": "red/5.png", "reason": "no text"}])
    assert hits(run, "words.index", shop / "green" / "2.png", "-k", 5) == [["green"] * 5]
    encoded = run("encode", crossing, shop, "-o", "words.parquet", "--modality", "text", "--json")
    assert json.loads(encoded.out)["rows"] == 23
    assert run("index", "create", "again.index", "words.parquet").code == 0
    assert hits(run, "again.index", shop / "green" / "2.png", "-k", 5) == [["green"] * 5]
    measured = run("evaluate", crossing, shop, "--metric", "map@all", "--json")
    rows = {row["name"]: row["values"]["map@all"] for row in json.loads(measured.out)["rows"]}
    ways = ["image to text", "text to image", "text to text"]
    assert set(rows) >= {"djsrh", "itq", *ways, *(f"cca, {way}" for way in ways)}
    assert min(rows[way] for way in ways) > 0.8


def test_texts_in_python_make_an_index_that_images_search(run, shop, crossing):
    model = kinbits.HashModel.load(crossing)
    texts = [f"a {colour} thing" for colour in COLOURS]
    index = kinbits.Index.create(model=model).add(model.encode(text=texts), metadata={"text": texts})
    assert index.search(shop / "blue" / "3.png", k=1).to_dicts()[0]["text"] == "a blue thing"


def test_data_without_texts_are_refused_with_a_remedy(run, images, crossing):
    bare = images("bare", cat=3, dog=3)
    assert "no text" in run("fit", bare, "-o", "other", "--method", "djsrh").error
    (bare / "captions.txt").write_text("cat/0.png a cat\n")
    assert "1 of the 6 images of bare have a text" in run("fit", bare, "-o", "other", "--method", "djsrh").error
    (bare / "captions.txt").unlink()
    assert "write captions" in run("index", "create", "i", crossing, bare, "--modality", "text").error


def test_an_empty_search_text_and_a_model_without_text_are_refused(run, shop, crossing):
    assert run("index", "create", "pictures.index", crossing, shop).code == 0
    assert "empty" in run("search", "pictures.index", "--text", " ").error
    assert run("fit", shop, "-o", "plain", "--method", "itq", "--bits", 8).code == 0
    assert "no text tower" in run("index", "create", "i", "plain", shop, "--modality", "text").error


def test_a_table_of_texts_alone_is_told_where_texts_go(run, crossing):
    Path("words.csv").write_text("text\na red thing\n")
    assert "HashModel.encode(text=...)" in run("index", "create", "i", crossing, "words.csv").error


def test_a_parquet_table_with_some_texts_missing_trains(run, shop):
    rows = [
        (path.read_bytes(), None if path.stem == "1" else f"a {path.parent.name} thing") for path in shop.rglob("*.png")
    ]
    table = pa.table({"image": [row[0] for row in rows], "text": [row[1] for row in rows]})
    pq.write_table(table, "shop.parquet")
    ended = run("fit", "shop.parquet", "-o", "model", "--method", "cca", "--bits", 4, "--json")
    assert len(json.loads(ended.out)["skipped"]) == len(COLOURS)
    assert np.asarray(kinbits.HashModel.load("model").encode(text="a red thing")).shape == (1, 1)
