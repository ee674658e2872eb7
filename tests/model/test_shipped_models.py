"""The models inside the package work offline, by name, and wherever the package is installed."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

import kinbits
from kinbits import ArtefactError, HashModel, hamming
from kinbits.data import EDITS, edit_image
from kinbits.model import GENERAL_MODEL, describe_model, model_folder, shipped, shipped_models

BITS = {"kinbits/copy-256": 256, "kinbits/general-128": 128}


@pytest.fixture(scope="module")
def photos():
    """Nine tiles of the two photos that scikit-learn has; three more show the sky alone."""
    china, flower = map(Image.fromarray, load_sample_images().images)
    corners = [(china, 213), (flower, 0), (flower, 213)]
    return [one.crop((x, y, x + 213, y + 213)) for one, y in corners for x in (0, 213, 426)]


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a model inside the package must not be fetched")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)


def test_each_is_described_and_loaded_by_its_name(offline):
    assert shipped_models() == sorted(BITS)
    for name, bits in BITS.items():
        model, told = HashModel.from_pretrained(name), describe_model(name)
        assert (model.bits, told.bits, told.modalities) == (bits, bits, ("image",))
        assert model.fingerprint == told.fingerprint
        assert model.folder == model_folder(name)
        card = (model.folder / "README.md").read_text()
        assert all(licence in card for licence in ("MIT", "CC0", "CC BY 4.0", "Apache-2.0"))


@pytest.mark.parametrize("name", BITS)
def test_a_changed_byte_in_the_weights_is_refused(name, tmp_path):
    copy = shutil.copytree(model_folder(name), tmp_path / "copy")
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-5000] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    with pytest.raises(ArtefactError, match="its fingerprint differs"):
        HashModel.from_pretrained(copy)


def test_the_weights_stay_small():
    sizes = {name: (model_folder(name) / "model.safetensors").stat().st_size for name in shipped_models()}
    assert max(sizes.values()) < 700_000


def test_copies_are_nearer_than_other_photos(photos):
    model = HashModel.from_pretrained("kinbits/copy-256")
    codes = model.encode(photos)
    for edit in ("jpeg 30", "resize 0.5", "crop 0.7", "mirror", "brightness 0.6", "rotate 5", "caption 0.15"):
        assert edit in map(str, EDITS)
        distances = hamming.distances(model.encode([edit_image(one, edit) for one in photos]), codes)
        assert np.mean(distances.argmin(1) == np.arange(9)) >= 7 / 9, edit


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(ArtefactError, match=r"unknown model 'kinbits/general'.*kinbits/general-128"):
        HashModel.from_pretrained("kinbits/general")


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    shutil.copytree(model_folder("kinbits/copy-256"), tmp_path / "kinbits" / "general-128")
    monkeypatch.chdir(tmp_path)
    assert describe_model(GENERAL_MODEL).bits == 256
    assert HashModel.from_pretrained(GENERAL_MODEL).bits == 256


def test_an_index_finds_its_model_where_the_package_is_installed_now(tmp_path, monkeypatch, photos):
    known = model_folder(GENERAL_MODEL)
    elsewhere = tmp_path / "old" / "shipped"
    shutil.copytree(known, elsewhere / known.name)
    with monkeypatch.context() as patched:
        patched.setattr(shipped, "_FOLDERS", elsewhere)
        kinbits.Index.create(tmp_path / "photos.index", model=GENERAL_MODEL).add(photos[:3])
    shutil.rmtree(tmp_path / "old")
    hits = kinbits.Index.open(tmp_path / "photos.index").search(photos[1], k=1)
    assert hits.distances.tolist() == [0]


def test_weights_are_left_to_a_package_for_known_towers_alone(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model_folder(GENERAL_MODEL), folder)
    config = json.loads((folder / "config.json").read_text())
    config["towers"] |= {f"e{number}": config["towers"]["image"] for number in range(200)}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtefactError, match="tower 'e0' is of no known kind"):
        HashModel.from_pretrained(folder)


def test_a_backbone_without_a_package_cannot_leave_its_weights_to_one(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model_folder(GENERAL_MODEL), folder)
    config = json.loads((folder / "config.json").read_text())
    config["towers"]["image"]["backbone"] |= {"backbone": "convnet-small", "name": "convnet-small"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtefactError, match="'convnet-small' has none"):
        HashModel.from_pretrained(folder)


def test_only_the_published_weights_are_left_out(tmp_path):
    model = HashModel.from_pretrained(GENERAL_MODEL)
    again = HashModel.from_pretrained(model.save_pretrained(tmp_path / "small", package_weights=False))
    assert again.fingerprint == model.fingerprint
    assert (tmp_path / "small" / "model.safetensors").stat().st_size < 1_000_000
    weights = model.tower().backbone.state_dict()
    weights[next(iter(weights))].add_(1)
    model.save_pretrained(tmp_path / "changed", package_weights=False)
    assert (tmp_path / "changed" / "model.safetensors").stat().st_size > 10_000_000
    assert HashModel.from_pretrained(tmp_path / "changed").fingerprint == model.fingerprint
