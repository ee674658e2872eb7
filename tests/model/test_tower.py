"""A tower is a network from pixels to logits: the bits are those of `encode`, and gradients reach the pixels."""

import numpy as np
import pytest
import torch
from PIL import Image

from kinbits import DataError, HashModel, UsageError, hamming
from kinbits.backbones import load_backbone
from kinbits.heads import build_head
from kinbits.model import Tower

BITS, SIDE = 19, 32
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 40, 30, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    head = build_head({"name": "linear", "features": 384, "bits": BITS})
    head.threshold += torch.linspace(-0.05, 0.05, BITS)
    return HashModel({"image": Tower(load_backbone("convnet-small"), head)})


@pytest.fixture(scope="module")
def pixels(model):
    preprocessing = model.tower().backbone.preprocessing
    return torch.from_numpy(np.stack([preprocessing(Image.fromarray(image)) for image in IMAGES]))


def test_a_tower_gives_the_logits_and_bits_of_encode(model, pixels):
    tower = model.tower("image")
    assert isinstance(tower, torch.nn.Module)
    with torch.no_grad():
        logits = tower(pixels)
    assert logits.shape == (5, BITS)
    np.testing.assert_array_equal(logits.numpy(), tower(pixels.float() / 255).detach().numpy())
    np.testing.assert_allclose(logits.numpy(), model.encode(IMAGES, output="logits"), atol=1e-6)
    np.testing.assert_array_equal(hamming.pack(logits.numpy()), model.encode(IMAGES))


def test_gradients_reach_the_pixels_and_follow_the_logit(model, pixels):
    tower = model.tower()
    inputs = (pixels[:1].float() / 255).requires_grad_()
    logit = tower(inputs)[0, 3]
    (slope,) = torch.autograd.grad(logit, inputs)
    assert slope.shape == (1, 3, SIDE, SIDE)
    with torch.no_grad():
        moved = tower(inputs + 0.02 * slope / slope.norm() * SIDE)[0, 3]
    assert moved > logit
    assert all(parameter.grad is None for parameter in tower.parameters())


def test_outputs_are_views_of_the_same_logits(model):
    features = model.encode(IMAGES, output="features")
    assert (features.dtype, features.shape) == (np.float32, (5, 384))
    np.testing.assert_array_equal(features, features.astype(np.float16))
    logits, bits = (model.encode(IMAGES, output=output) for output in ("logits", "bits"))
    assert (logits.dtype, bits.dtype) == (np.float32, np.bool_)
    np.testing.assert_array_equal(bits, logits >= 0)
    np.testing.assert_array_equal(hamming.pack(bits), model.encode(IMAGES))
    np.testing.assert_array_equal(model.tower().compute(features), model.encode(IMAGES))
    shapes = {output: model.encode([], output=output).shape for output in ("codes", "bits", "logits", "features")}
    assert shapes == {"codes": (0, 3), "bits": (0, BITS), "logits": (0, BITS), "features": (0, 384)}


def test_batches_change_nothing_and_skipped_rows_keep_their_place(model, tmp_path):
    paths = [tmp_path / f"{row}.png" for row in range(5)]
    for path, image in zip(paths, IMAGES, strict=True):
        Image.fromarray(image).save(path)
    np.testing.assert_array_equal(model.encode(paths, batch_size=2), model.encode(IMAGES))
    paths[1].write_bytes(b"no image")
    paths[4].write_bytes(b"no image")
    found = model.encode(paths, on_error="skip", batch_size=2, output="logits")
    assert found.rows.tolist() == [0, 2, 3]
    np.testing.assert_allclose(found.array, model.encode(IMAGES[[0, 2, 3]], output="logits"), atol=1e-6)
    assert [one.id for one in found.skipped] == [str(paths[1]), str(paths[4])]
    with pytest.raises(DataError, match=r"1 of 5 images cannot be read \(.*1\.png: .*on_error='skip'"):
        model.encode(paths, batch_size=2)  # the first batch says so, and no other is read


@pytest.mark.parametrize(
    "options", [{"output": "code"}, {"on_error": "ignore"}, {"batch_size": 0}, {"modality": "text"}]
)
def test_options_that_are_none_are_refused(model, options):
    with pytest.raises(UsageError, match=r"allowed: codes, bits|allowed: raise, skip|1 or more|no text tower"):
        model.encode(IMAGES, **options)
