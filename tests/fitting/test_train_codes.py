"""Codes that training gives its own images: kept with the model, searched, measured."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import kinbits
from kinbits import ArtefactError, UsageError, hamming
from kinbits.data import split_folder
from kinbits.encoding import CodesFile, rows_of_ids

CLASSES, WIDTH = 4, 24


def data():
    rng = np.random.default_rng(0)
    known = np.arange(300) % CLASSES
    vectors = rng.normal(size=(CLASSES, WIDTH))[known] + 1.5 * rng.normal(size=(300, WIDTH))
    return split_folder(kinbits.open_dataset(vectors.astype(np.float32), labels=known), seed=0, train_in_database=True)


def agreement(codes, labels):
    """Share of the bits that are those of most images of the class."""
    ones = [hamming.unpack(codes[labels == c], 16).mean(0) for c in range(CLASSES)]
    return np.maximum(ones, 1 - np.array(ones)).mean()


@pytest.fixture(scope="module")
def learned():
    splits = data()
    model = kinbits.fit(splits.train, method="adsh", bits=16, epochs=6, progress=False)
    return model, splits


def test_they_are_those_of_the_method_under_the_ids_of_the_images(learned):
    model, splits = learned
    table = model.train_codes
    assert table["id"].to_pylist() == splits.train.ids.tolist()
    assert {int(text) for text in table["label"].to_pylist()} == set(range(CLASSES))
    codes = rows_of_ids(table, splits.train.ids)[1]
    # Free codes follow the labels, which encoded ones cannot do as well.
    assert agreement(codes, splits.train.labels) > agreement(model.encode(splits.train), splits.train.labels) + 0.02


def test_codes_are_found_by_id_in_any_order():
    codes = np.arange(10, dtype=np.uint8).reshape(5, 2)
    table = CodesFile(codes, np.array(["a", "b", "c", "d", "e"]), 16).to_table()
    places, found = rows_of_ids(table, np.array(["x", "e", "a"]))
    assert places.tolist() == [1, 2]
    assert found.tolist() == [[8, 9], [0, 1]]
    places, found = rows_of_ids(table, np.array(["x"]))
    assert (len(places), len(found)) == (0, 0)


def test_a_saved_model_keeps_them_and_an_index_is_made_of_them(learned, tmp_path):
    model, _ = learned
    model.save_pretrained(tmp_path / "model")
    loaded = kinbits.HashModel.from_pretrained(tmp_path / "model")
    assert loaded.train_codes.equals(model.train_codes)
    facts = json.loads(pq.read_schema(tmp_path / "model" / "train-codes.parquet").metadata[b"kinbits"])
    assert (facts["bits"], facts["fingerprint"], facts["multiple"]) == (16, model.fingerprint, [])
    (tmp_path / "model" / "train-codes.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ArtefactError, match="train-codes"):
        kinbits.HashModel.from_pretrained(tmp_path / "model")


def test_a_model_without_them_says_so_and_a_calibrated_one_has_them_no_more(learned, tmp_path):
    model, splits = learned
    assert kinbits.fit(splits.train, method="itq", bits=8, progress=False).train_codes is None
    model.save_pretrained(tmp_path / "model")
    assert kinbits.HashModel.from_pretrained(tmp_path / "model").calibrate(splits.train).train_codes is None


def test_learned_codes_are_measured_where_the_database_was_trained_on(learned):
    model, splits = learned
    encoded = kinbits.evaluate(model, splits, baselines=False)
    report = kinbits.evaluate(model, splits, baselines=False, database_codes="learned")
    assert report.rows[0].values["map@all"] > encoded.rows[0].values["map@all"]
    shared = len(set(splits.database.ids.tolist()) & set(splits.train.ids.tolist()))
    assert f"codes of {shared} of {len(splits.database)} database images as learned" in report.caption


def test_learned_codes_are_refused_where_there_are_none(learned):
    model, splits = learned
    plain = kinbits.fit(splits.train, method="itq", bits=8, progress=False)
    with pytest.raises(UsageError, match="'itq' learns none"):
        kinbits.evaluate(plain, splits, database_codes="learned")
    other = kinbits.fit(splits.database.select(np.arange(100)), method="adsh", bits=8, epochs=3, progress=False)
    with pytest.raises(UsageError, match="training part"):
        kinbits.evaluate(other, splits, database_codes="learned")
    with pytest.raises(UsageError, match="encoded or learned"):
        kinbits.evaluate(model, splits, database_codes="free")
    queries = splits.__class__(splits.train, splits.query, splits.query, splits.protocol)
    with pytest.raises(UsageError, match="no image of the database was trained on"):
        kinbits.evaluate(model, queries, database_codes="learned")
