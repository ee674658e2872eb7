"""Codes and concepts come from one pass, in batches or from the cache, and only from models that give them."""

import shutil

import numpy as np
import pytest
from PIL import Image

from kinbits import DataError, HashModel, Index, UsageError
from kinbits.backbones import Concepts, TextClasses, load_backbone
from kinbits.data import FeatureCache, open_dataset
from kinbits.encoding import encode_collection
from kinbits.heads import build_head
from kinbits.model import Tower


def model_of(backbone):
    head = build_head({"name": "linear", "features": backbone.feature_dim, "bits": 16})
    return HashModel({"image": Tower(backbone, head)})


@pytest.fixture(scope="module")
def model():
    return model_of(load_backbone("efficientnet_lite0", size=32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Seven images, one of which is damaged."""
    place = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(place / f"{number}.png")
    (place / "3b.png").write_bytes(b"\x89PNG\r\n\x1a\n not a picture")
    return place


@pytest.fixture
def space(monkeypatch):
    class Space:
        names = tuple(map(str, range(1000)))

        def weigh(self, texts):
            weights = np.zeros((len(texts), 1000), np.float32)
            weights[np.arange(len(texts)), list(map(int, texts))] = 1
            return TextClasses(weights, weights.argmax(1), np.ones(len(texts), np.float32))

    monkeypatch.setattr("kinbits.backbones.class_space", lambda vocabulary: Space())


@pytest.mark.parametrize("cached", [True, False])
def test_concepts_are_those_of_the_readable_images(model, folder, cached, tmp_path):
    cache = FeatureCache(tmp_path) if cached else None
    found = encode_collection(model, folder, concepts=True, batch_size=2, cache=cache)
    plain = encode_collection(model, folder)
    assert found.ids.tolist() == plain.ids.tolist() == [f"{n}.png" for n in range(6)]
    assert np.array_equal(found.codes, plain.codes)
    assert [one.id for one in found.skipped] == [one.id for one in plain.skipped] == ["3b.png"]
    assert plain.concepts is None
    assert np.array_equal(found.concepts, model.encode(folder, output="concepts", on_error="skip").array)
    assert Concepts().known(found.concepts).all()
    with pytest.raises(DataError, match="3b"):
        encode_collection(model, folder, concepts=True, batch_size=2, cache=cache, on_error="raise")


def test_a_model_without_a_published_classifier_gives_none(folder):
    other = model_of(load_backbone("convnet-small"))
    assert encode_collection(other, folder, concepts=None).concepts is None
    with pytest.raises(UsageError, match="leave concepts out"):
        encode_collection(other, folder, concepts=True)
    with pytest.raises(UsageError, match="gives no concepts"):
        other.encode(folder / "0.png", output="concepts")
    with pytest.raises(UsageError, match="gives no concepts"):
        Index.create(model=other, concepts=True)
    index = Index.create(model=other)
    assert index.info()["concepts"] is None
    with pytest.raises(UsageError, match="no text tower, and the index keeps no concepts"):
        index.add(open_dataset(folder / "0.png")).search(text="1")


@pytest.mark.parametrize("keep", [None, "int8"])
def test_an_index_keeps_concepts_of_what_it_encodes(model, folder, keep, space, tmp_path):
    wanted = encode_collection(model, folder, concepts=True)
    likeliest = str(Concepts().unpack(wanted.concepts)[0][2, 0])
    index = Index.create(tmp_path / "i", model=model, keep=keep)
    with pytest.warns(UserWarning, match="skipped 1"):
        index.add(str(folder))
    hits = index.search(text=likeliest, k=6)
    assert hits.ids[0] == "2.png" or hits.distances[0] <= hits.distances[hits.ids.tolist().index("2.png")]
    assert len(hits) == 6
    assert np.array_equal(index.to_codes().codes, wanted.codes)
    pixels = np.asarray(Image.open(folder / "5.png"))
    index.add([pixels], ids=["pixels"])  # no data set
    pair = dict(zip(*index.search(text=likeliest, k=7).to_numpy(), strict=True))
    assert pair["pixels"] == pair["5.png"]
    opened = Index.open(tmp_path / "i", model)
    assert opened.search(text=likeliest, k=7).ids.tolist() == index.search(text=likeliest, k=7).ids.tolist()
    assert Index.create(model=model, concepts=False).info()["concepts"] is None


def test_words_need_no_model_at_the_search(model, folder, space, tmp_path):
    saved = HashModel(dict(model.towers)).save_pretrained(tmp_path / "model")
    index = Index.create(tmp_path / "i", encode_collection(HashModel.from_pretrained(saved), folder, concepts=None))
    (tmp_path / "model").rename(tmp_path / "gone")
    assert len(Index.open(tmp_path / "i").search(text="1", k=3)) == 3
    assert index.fingerprint is not None


def test_a_synchronised_index_gets_the_concepts_of_new_files(model, folder, space, tmp_path):
    place = tmp_path / "photos"
    shutil.copytree(folder, place)
    (place / "3b.png").unlink()
    saved = model.save_pretrained(tmp_path / "model")
    index = Index.create(tmp_path / "i", encode_collection(HashModel.from_pretrained(saved), place, concepts=None))
    pixels = np.random.default_rng(9).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(place / "new.png")
    index.sync()
    hits = index.search(text="1", k=10)
    assert sorted(hits.ids) == sorted(path.name for path in place.iterdir())
