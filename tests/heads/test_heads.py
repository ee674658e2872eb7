"""Heads: every one is rebuilt from its description, centres its inputs, and has a threshold for each bit."""

import json

import pytest
import torch

from kinbits import ArtefactError, UsageError
from kinbits.heads import Decoder, LinearBatchNorm, MapHead, Merged, Mlp, SpatialAttention, build_head, list_heads

SHAPE, WIDTH, BITS = (6, 2, 2), 24, 8
OPTIONS = {
    "merged": {"inner": {"name": "mlp", "features": WIDTH, "bits": 12, "hidden": 5}},
    "signs": {"bits": WIDTH},
    "scaled": {"bits": 104, "metric": "euclidean"},
    "part-attention": {"shape": SHAPE, "parts": 2, "width": 4},
    "spatial-attention": {"shape": SHAPE, "width": 4},
    "vlad": {"shape": SHAPE, "clusters": 3, "transform": 5},
}


OURS = [name for name in list_heads() if not name.startswith("test-")]  # other tests register heads too


@pytest.fixture(params=OURS)
def head(request):
    torch.manual_seed(0)
    return build_head({"name": request.param, "features": WIDTH, "bits": BITS, **OPTIONS.get(request.param, {})})


def features(rows=50):
    return 3 + 2 * torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(0))


def test_a_description_in_json_makes_the_same_head(head):
    head.standardise([features()])
    head.threshold.copy_(torch.linspace(-1, 1, head.bits))
    again = build_head(json.loads(json.dumps(head.config())))
    again.load_state_dict(head.state_dict())
    assert type(again) is type(head)
    assert torch.equal(again.eval()(features(5)), head.eval()(features(5)))


def test_thresholds_move_logits_and_bits_are_their_signs(head):
    if head.words != 2:
        return  # product codes: test_product.py; scaled codes: test_scaled.py
    head.eval()
    before = head(features(5))
    head.threshold.copy_(torch.linspace(-1, 1, head.bits))
    assert torch.allclose(head(features(5)), before - torch.linspace(-1, 1, head.bits), atol=1e-5)
    assert torch.equal(head.encode(features(5)), head(features(5)) >= 0)


def test_inputs_are_centred_scaled_and_restored(head):
    data = features(500)
    head.standardise(data.split(100))
    inputs = head.standard(data)
    assert float(inputs.mean()) == pytest.approx(0, abs=1e-5)
    if head.name != "scaled":  # which keeps the unit
        assert float(inputs.std()) == pytest.approx(1, abs=0.01)
    assert torch.allclose(head.restore(inputs), data, atol=1e-4)


def test_a_head_on_maps_centres_by_channel():
    head = SpatialAttention(WIDTH, BITS, SHAPE)
    head.standardise([features()])
    centre = head.centre.view(SHAPE)
    assert torch.equal(centre, centre[:, :1, :1].expand(SHAPE))


@pytest.mark.parametrize(("features", "scale"), [(torch.full((4, 3), 7.0), None), (1e30 * torch.eye(3), 1e-30)])
def test_constant_and_huge_features_stay_finite(features, scale):
    head = Mlp(3, BITS)
    head.standardise([features])
    assert torch.isfinite(head(features)).all()
    if scale:
        assert float(head.scale) == pytest.approx(scale * (2 / 9) ** -0.5, rel=1e-4)


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"name": "mpl", "features": 4, "bits": 8}, UsageError, "did you mean mlp"),
        ({"features": 4, "bits": 8}, UsageError, "head"),
        ({"name": "linear", "features": 4, "bits": 8, "width": 3}, ArtefactError, "does not fit its description"),
        ({"name": "spatial-attention", "features": 5, "bits": 8, "shape": [1, 2, 2]}, UsageError, "vectors of 5"),
    ],
)
def test_descriptions_that_fit_no_head_are_refused(config, error, message):
    with pytest.raises(error, match=message):
        build_head(config)


def test_a_merged_head_returns_its_current_number_of_logits():
    head = Merged(WIDTH, BITS, LinearBatchNorm(WIDTH, 12).config()).eval()
    head.merge = torch.eye(12, 10)
    head.threshold.fill_(5.0)
    assert head.width == 10
    assert torch.equal(head(features(3)), head.layers(head.standard(features(3)))[:, :10])  # thresholds come last
    fresh = build_head(head.config())
    fresh.load_state_dict(head.state_dict())
    assert fresh.width == 10
    with pytest.raises(UsageError, match="cannot be merged to 16"):
        Merged(WIDTH, 16, LinearBatchNorm(WIDTH, 12).config())


def test_a_decoder_is_rebuilt_from_its_description():
    decoder = Decoder(BITS, WIDTH, hidden=5)
    again = Decoder(**decoder.config())
    again.load_state_dict(decoder.state_dict())
    codes = torch.randint(0, 2, (4, BITS)).float() * 2 - 1
    assert torch.equal(again(codes), decoder(codes))
    assert again(codes).shape == (4, WIDTH)


def test_all_heads_on_maps_are_known_as_such():
    on_maps = {name for name in OURS if "shape" in OPTIONS.get(name, {})}
    built = {name: build_head({"name": name, "features": WIDTH, "bits": BITS, **OPTIONS[name]}) for name in on_maps}
    assert on_maps == {"part-attention", "spatial-attention", "vlad"}
    assert all(isinstance(head, MapHead) for head in built.values())
