"""Vectors that are shortened or scaled before anything reads them."""

import numpy as np
import pytest
import torch

import kinbits
from kinbits import DataError, HashModel, Index, UsageError
from kinbits.backbones import build_backbone, load_backbone, unit_length

X = np.random.default_rng(0).normal(size=(80, 12)).astype(np.float32) * 5


def test_a_model_reads_the_first_numbers_scaled(tmp_path):
    model = kinbits.fit(X, method="pca", bits=6, dims=8, normalise=True, progress=False)
    short = X[:, :8] / np.linalg.norm(X[:, :8], axis=1, keepdims=True)
    assert np.allclose(model.encode(X, output="features"), short, atol=1e-6)
    plain = kinbits.fit(short, method="pca", bits=6, progress=False)
    assert np.array_equal(model.encode(X), plain.encode(short))
    assert np.array_equal(model.encode(X[:, :8]), model.encode(X))  # shortened before
    model.save_pretrained(tmp_path / "m")
    again = HashModel.from_pretrained(tmp_path / "m")
    assert np.array_equal(again.encode(X), model.encode(X))
    assert again.fingerprint == model.fingerprint != plain.fingerprint
    assert Index.create(None, X, model=again, keep="float16").info()["keep"]["dims"] == 8
    with pytest.raises((DataError, UsageError), match="12 numbers each are read, or their first 8"):
        model.encode(X[:, :9])


def test_a_plain_backbone_is_described_as_before():
    assert load_backbone("features", dim=5).architecture() == {"dim": 5}
    made = build_backbone(load_backbone("features", dim=5, dims=3, normalise=True).config())
    assert made.architecture() == {"dim": 5, "dims": 3, "normalise": True}


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(UsageError, match="dims=13: vectors of 12 numbers can be shortened to 1 to 12"):
        kinbits.fit(X, method="pca", bits=4, dims=13, progress=False)
    images = np.zeros((6, 16, 16, 3), np.uint8)
    with pytest.raises(UsageError, match="dims and normalise are for vectors"):
        kinbits.fit(images, method="lsh", bits=4, dims=8, progress=False, backbone="convnet-small")
    with pytest.raises(UsageError, match="is not 'features'"):
        load_backbone("convnet-small", normalise=True)


@pytest.mark.parametrize("scale", [1e-30, 1e-13, 1, 1e19, 1e37])
def test_the_length_is_one_in_any_unit(scale):
    made = unit_length(torch.tensor([[1.0, 2, -1, 0.5], [0, 0, 0, 0]]) * scale)
    assert made.norm(dim=1).tolist() == pytest.approx([1, 0])
