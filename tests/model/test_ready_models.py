"""Models of perceptual hashes: ready by name, and then like any other model."""

import json

import numpy as np
import pytest
from hash_pictures import flat, photos, picture

from kinbits import HashModel, PlatformError, UsageError, hamming
from kinbits._util import EXTRAS
from kinbits.data import FeatureCache, open_dataset
from kinbits.model import describe_model
from kinbits.perceptual import HASHES, pdq, phash


@pytest.fixture(params=HASHES)
def name(request):
    return request.param


def expected(name, images):
    return np.stack([phash(one) if name == "phash" else pdq(one)[0] for one in images])


def test_codes_are_the_hashes(name):
    images = [picture(seed, size) for seed, size in enumerate([(90, 60), (300, 20), (500, 400)])] + [flat()]
    model = HashModel.from_pretrained(name)
    np.testing.assert_array_equal(model.encode(images), expected(name, images))
    np.testing.assert_array_equal(hamming.pack(model.encode(images, output="bits")), expected(name, images))
    np.testing.assert_array_equal(hamming.pack(model.encode(images, output="logits")), expected(name, images))


def test_codes_of_many_images_are_the_hashes(name):
    """From 128 images on, networks are compiled."""
    images = [picture(seed, (40, 30)) for seed in range(130)]
    np.testing.assert_array_equal(HashModel.from_pretrained(name).encode(images), expected(name, images))


def test_the_cache_keeps_every_bit(name, tmp_path):
    dataset, cache = open_dataset(photos(tmp_path / "photos")), FeatureCache(tmp_path / "cache")
    model = HashModel.from_pretrained(name)
    first = model.encode(dataset, cache=cache)
    np.testing.assert_array_equal(model.encode(dataset, cache=cache), first)
    np.testing.assert_array_equal(model.encode(dataset), first)


def test_the_cosine_of_features_follows_the_distance(name):
    images = [picture(0), picture(1)]
    model = HashModel.from_pretrained(name)
    one, other = model.encode(images, output="features")
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    codes = model.encode(images)
    assert cosine == pytest.approx(1 - 2 * hamming.paired_distances(codes[:1], codes[1:])[0] / model.bits)


def test_quality_is_that_of_pdq():
    images = [picture(), flat(), picture(3)]
    rated = HashModel.from_pretrained("pdq").encode(images, output="quality")
    assert rated.dtype == np.int64
    assert rated.tolist() == [pdq(one)[1] for one in images]


def test_other_models_know_no_quality():
    with pytest.raises(UsageError, match="backbone 'phash' knows no quality of images; 'pdq' does"):
        HashModel.from_pretrained("phash").encode(picture(), output="quality")


def test_it_is_saved_and_read_like_any_model(name, tmp_path):
    model = HashModel.from_pretrained(name)
    model.save_pretrained(tmp_path / "model")
    again = HashModel.from_pretrained(tmp_path / "model")
    assert again.fingerprint == model.fingerprint == HASHES[name].fingerprint
    np.testing.assert_array_equal(again.encode(picture()), model.encode(picture()))
    assert f"backbone | `{name}`" in (tmp_path / "model" / "README.md").read_text()


def test_it_is_described_without_torch(name):
    found = describe_model(name)
    assert (found.bits, found.fingerprint, found.modalities) == (
        HASHES[name].bits,
        HASHES[name].fingerprint,
        ("image",),
    )
    assert name in repr(HashModel.from_pretrained(name))
    assert "nothing, 0 images" in HashModel.from_pretrained(name)._repr_html_()


def test_a_model_that_was_saved_under_the_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    HashModel.from_pretrained("phash").save_pretrained("pdq")
    assert HashModel.from_pretrained("pdq").bits == describe_model("pdq").bits == 64
    (tmp_path / "phash").mkdir()  # e.g. of images
    assert HashModel.from_pretrained("phash").bits == 64


def test_a_forged_hash_is_refused(tmp_path):
    HashModel.from_pretrained("pdq").save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    config["towers"]["image"]["head"]["features"] = 64
    path.write_text(json.dumps(config))
    with pytest.raises(Exception, match="256 bits are not the signs of 64 features"):
        HashModel.from_pretrained(tmp_path / "model")


def test_fixed_codes_cannot_be_calibrated(name):
    model = HashModel.from_pretrained(name)
    with pytest.raises(UsageError, match="codes of a fixed hash have no thresholds to calibrate"):
        model.calibrate([picture(0), picture(1)])
    assert model.fingerprint == HASHES[name].fingerprint


def test_a_hash_has_no_graph(name, tmp_path):
    with pytest.raises(UsageError, match=f"an exported graph takes pixels, and '{name}' is a fixed hash"):
        HashModel.from_pretrained(name).export(tmp_path / "model.onnx")


def test_the_extra_is_named_where_the_library_is_missing(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pdqhash", None)
    assert EXTRAS["pdqhash"] == "perceptual"
    with pytest.raises(PlatformError, match=r"pdqhash is not installed; run: pip install 'kinbits\[perceptual\]'"):
        HashModel.from_pretrained("pdq").encode(picture())
