"""Files of the present formats still open: see make.py for what to do when this fails."""

import json
import shutil

import numpy as np
import pytest
from make import HERE, NAMES, collection, fit

from kinbits import ArtefactError, HashModel
from kinbits.encoding import read_codes
from kinbits.index import Index

EXPECTED = json.loads((HERE / "expected.json").read_text())


@pytest.fixture
def golden(tmp_path):
    for name in NAMES:
        copy = shutil.copytree if (HERE / name).is_dir() else shutil.copy
        copy(HERE / name, tmp_path / name)
    return tmp_path


def test_a_model(golden):
    model = HashModel.from_pretrained(golden / "model")
    assert model.fingerprint == EXPECTED["fingerprint"]
    assert model.encode(collection()).tobytes().hex() == EXPECTED["codes"]


def test_an_index_finds_its_model(golden):
    index = Index.open(golden / "index")
    hits = index.search(collection().items.vectors[5], k=4, where="label = fox")
    assert hits.to_dicts() == EXPECTED["hits"]
    assert index.model.folder == golden / "model"
    index.verify()


def test_a_file_of_codes(golden):
    found = read_codes(golden / "codes.parquet")
    assert found.codes.tobytes().hex() == EXPECTED["codes"]
    assert (found.bits, found.fingerprint) == (6, EXPECTED["fingerprint"])
    np.testing.assert_array_equal(found.ids, np.arange(48))


def test_a_checkpoint_of_a_run(golden):
    model = fit(golden / "checkpoint", resume=True)
    assert model.encode(collection()).tobytes().hex() == EXPECTED["trained"]
    damaged = golden / "checkpoint" / "last.ckpt"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(ArtefactError):  # so it was read before
        fit(golden / "checkpoint", resume=True)
