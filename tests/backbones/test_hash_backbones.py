"""Perceptual hashes as backbones: what needs pixels or weights is refused in one line."""

import numpy as np
import pytest
import torch
from hash_pictures import photos, picture

import kinbits
from kinbits import UsageError
from kinbits.backbones import View, build_backbone, extract, load_backbone
from kinbits.data import as_dataset, open_dataset

NAMES = {"pdq": 256, "phash": 64}


@pytest.mark.parametrize("name", NAMES)
def test_features_are_signs(name):
    backbone = load_backbone(name)
    found = extract(as_dataset([picture(), picture(1)]), backbone)
    assert found.array.shape == (2, NAMES[name])
    assert len(np.unique(np.abs(found.array), axis=1)[0]) == 1  # one size for all bits of an image
    assert not list(backbone.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_it_is_rebuilt_from_its_configuration(name):
    backbone = load_backbone(name)
    assert build_backbone(backbone.config()).fingerprint == backbone.fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_what_needs_pixels_is_refused(name, tmp_path):
    backbone = load_backbone(name)
    with pytest.raises(UsageError, match="hashes images at their own size, not at 64 pixels"):
        load_backbone(name, size=64)
    with pytest.raises(UsageError, match=f"an augmented view takes pixels, and '{name}' is a fixed hash"):
        extract(as_dataset([picture()]), backbone, view=View("two_view"))
    with pytest.raises(UsageError, match="hashes whole images, not batches of pixels"):
        backbone(torch.zeros(2, 3, 224, 224))
    with pytest.raises(UsageError, match="has no feature map"):
        load_backbone(f"map:{name}")
    with pytest.raises(UsageError, match="a backbone that is trained takes pixels"):
        kinbits.fit(photos(tmp_path / "photos"), backbone=name, method="itq", bits=8, finetune=True)


def test_codes_are_learned_of_a_hash(tmp_path):
    dataset = open_dataset(photos(tmp_path / "photos", 12, flats=0))
    model = kinbits.fit(dataset, backbone="pdq", method="itq", bits=8)
    assert model.encode(dataset).shape == (12, 1)
