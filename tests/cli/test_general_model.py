"""`kinbits index create INDEX PHOTOS` needs no model of one's own."""

import json

import numpy as np
import pytest
from PIL import Image

from kinbits.model import GENERAL_MODEL, describe_model


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        coarse = np.random.default_rng(number).integers(256, size=(4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((96, 96)).save(folder / f"{number}.png")
    return folder


def test_a_folder_alone_is_indexed_and_searched(run, photos):
    made = run("index", "create", "photos.index", photos, "--json")
    assert made.code == 0
    assert json.loads(made.out)["items"] == 5
    assert GENERAL_MODEL in made.err
    found = run("search", "photos.index", photos / "3.png", "-k", 1, "--json")
    assert found.code == 0
    (hit,) = json.loads(found.out)[0]["hits"]
    assert hit["distance"] == 0
    info = json.loads(run("index", "info", "photos.index", "--json").out)
    assert info["bits"] == describe_model(GENERAL_MODEL).bits


def test_the_name_of_the_model_goes_where_a_folder_goes(run, photos):
    assert run("index", "create", "photos.index", "kinbits/copy-256", photos).code == 0
    assert run("encode", "kinbits/general-128", photos, "-o", "codes.parquet").code == 0


def test_a_model_without_data_is_named_as_what_it_is(run, photos):
    for model in ("kinbits/general-128", "pdq"):
        ended = run("index", "create", "photos.index", model)
        assert ended.code == 2
        assert f"{model} is a model; name the data too" in ended.err


def test_vectors_need_a_model_of_their_own(run, tmp_path):
    np.save(tmp_path / "vectors.npy", np.zeros((4, 3), np.float32))
    ended = run("index", "create", "photos.index", "vectors.npy")
    assert ended.code != 0
    assert "vector" in ended.err
    assert not (tmp_path / "photos.index").exists()
