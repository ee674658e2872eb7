"""Models as attacks see them, and how visible changes are."""

import numpy as np
import pytest
import torch

import kinbits
from kinbits.attacks import Reference, build_attack
from kinbits.backbones import load_backbone
from kinbits.errors import UsageError
from kinbits.heads import build_head
from kinbits.model import HashModel, Tower
from kinbits.robustness import to_bytes, victim_of, visibility


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    head = build_head({"name": "linear", "features": 384, "bits": 16})
    return HashModel({"image": Tower(load_backbone("convnet-small", size=16), head)}, {"name": "toy"}, {})


def test_codes_are_those_of_the_model(model):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    codes = victim_of(model).codes(torch.from_numpy(pixels.transpose(0, 3, 1, 2)).float() / 255)
    assert np.array_equal(codes.numpy() > 0, model.encode(pixels, output="bits"))


def test_what_has_no_pixels_or_no_bits_is_refused():
    vectors = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    model = kinbits.fit(vectors, method="itq", bits=8, progress=False)
    with pytest.raises(UsageError, match="reads vectors"):
        victim_of(model)


def test_a_device_that_is_not_there_is_named(model):
    with pytest.raises(UsageError, match="device"):
        victim_of(model, device="tpux")


def test_gradients_do_not_underflow_in_rounded_features(model):
    """A change that is far too small for float16 gradients still finds its direction."""
    victim = victim_of(model)
    pixels = torch.full((1, 3, 16, 16), 0.5, requires_grad=True)
    (large,) = torch.autograd.grad(victim.logits(pixels).sum(), pixels)
    (small,) = torch.autograd.grad(1e-9 * victim.logits(pixels).sum(), pixels)
    torch.testing.assert_close(small / 1e-9, large, rtol=1e-3, atol=1e-4)


def test_rounding_is_exact_in_the_forward_pass():
    tower = Tower(load_backbone("convnet-small", size=16), build_head({"name": "linear", "features": 384, "bits": 8}))
    images = torch.rand(3, 3, 16, 16)
    features = tower.backbone(images)
    assert torch.equal(tower(images), tower.head(features.half().float()))


def test_visibility_of_known_changes():
    clean = torch.full((3, 3, 16, 16), 0.5)
    same, shifted = visibility(clean, clean), visibility(clean + 4 / 255, clean)
    assert (same.linf, same.rmse, round(same.ssim, 6)) == (0, 0, 1)
    assert shifted.rmse == pytest.approx(0.0156863, abs=1e-7)
    assert shifted.linf == pytest.approx(4 / 255, abs=1e-7)
    random = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    noisy = [visibility((random + size * torch.randn(random.shape)).clamp(0, 1), random).ssim for size in (0.02, 0.2)]
    assert 1 > noisy[0] > noisy[1] > 0


def test_bytes_are_what_a_file_keeps():
    values = torch.tensor([0.0, 0.4 / 255, 0.6 / 255, 1.0])
    assert to_bytes(values).tolist() == [0, 0, 1, 255]
    assert to_bytes(values).dtype == torch.uint8


def test_an_attack_on_a_model_changes_codes_and_noise_hardly(model):
    victim = victim_of(model)
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    known = Reference(victim.codes(images), torch.eye(2)[torch.arange(6) % 2])
    flipped = {
        name: float((victim.codes(build_attack(name)(victim, images, reference=known)) != known.codes).float().mean())
        for name in ("noise", "pgd")
    }
    assert flipped["pgd"] > flipped["noise"]
