"""RV-SSDH: the sheet's numbers, VLAD in plain loops, random centres and their rival by k-means, and digits."""

import math

import numpy as np
import pytest
import torch
from digits import SPACE, Pixels, batch_of, deep_score, learn, resumed_and_whole, score, split
from torch import nn

from kinbits import DataError, UsageError
from kinbits.data import LabelSpace
from kinbits.heads import Vlad, VladHead, build_head
from kinbits.methods import Spec, build_method
from kinbits.methods.rv_ssdh import k_means
from kinbits.training import FeatureSet, PixelSet, TrainingSettings, train

SHAPE = (6, 2, 2)


def make(space=SPACE, **params):
    torch.manual_seed(0)
    return build_method("rv-ssdh", Spec(16, 24, 30, space, map_shape=SHAPE), **params)


def maps(rows=30, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, 24)).astype(np.float32)


def sheet_layer():
    layer = Vlad(2, 2, 1.0, trainable=False)
    layer.start(torch.eye(2), 2.0)
    return layer


def test_worked_values():
    points = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    layer = sheet_layer()
    shares = torch.softmax(points @ layer.weights.T + layer.biases, dim=1)
    wanted = torch.tensor([[0.9820, 0.0180], [0.3100, 0.6900], [0.0180, 0.9820]])
    assert torch.allclose(shares, wanted, atol=5e-5)
    vector = layer(points.T.reshape(1, 2, 3, 1))
    assert torch.allclose(vector, torch.tensor([[-0.3330, 0.6238, 0.6651, -0.2402]]), atol=5e-5)


def naive(points, centres, weights, biases):
    """Aggregate the descriptors of one image, already of unit length."""
    rows = []
    for k, centre in enumerate(centres):
        row = [0.0] * len(centre)
        for x in points:
            scores = [sum(a * b for a, b in zip(w, x, strict=True)) + c for w, c in zip(weights, biases, strict=True)]
            share = math.exp(scores[k]) / sum(math.exp(value) for value in scores)
            row = [r + share * (a - c) for r, a, c in zip(row, x, centre, strict=True)]
        length = math.sqrt(sum(value**2 for value in row))
        rows += [value / length for value in row]
    length = math.sqrt(sum(value**2 for value in rows))
    return [value / length for value in rows]


def test_the_layer_is_the_equation():
    torch.manual_seed(0)
    layer = Vlad(5, 3, 2.0, trainable=True)
    with torch.no_grad():  # as training would, make the three independent of one another
        for part in layer.parameters():
            part += 0.3 * torch.randn(part.shape)
    images = torch.randn(2, 5, 2, 3)
    for image, vector in zip(images, layer(images), strict=True):
        points = nn.functional.normalize(image.flatten(1).T, dim=1)
        wanted = naive(points.tolist(), layer.centres.tolist(), layer.weights.tolist(), layer.biases.tolist())
        assert torch.allclose(vector, torch.tensor(wanted), atol=1e-5)


def test_places_have_no_order_and_the_vector_has_unit_length():
    layer, images = Vlad(6, 4, 3.0, trainable=False), torch.randn(3, 6, 4, 4)
    shuffled = images.flatten(2)[:, :, torch.randperm(16)].view(3, 6, 4, 4)
    assert torch.allclose(layer(images), layer(shuffled), atol=1e-6)
    assert torch.allclose(layer(images).norm(dim=1), torch.ones(3), atol=1e-6)


def test_empty_places_and_empty_clusters_are_finite():
    layer = Vlad(6, 4, 3.0, trainable=True)
    layer.start(torch.cat([torch.ones(3, 6), torch.full((1, 6), -99.0)]), 50.0)
    images = torch.randn(2, 6, 2, 2)
    images[0, :, 0, 0] = 0
    images[1] = 0
    images.requires_grad_()
    vector = layer(images)
    vector.sum().backward()
    assert torch.isfinite(vector).all()
    assert torch.isfinite(images.grad).all()


def test_frozen_centres_are_kept_and_saved_but_not_learned():
    frozen, learned = make(trainable=False), make()
    assert not list(frozen.head.vlad.parameters())
    assert len(list(learned.head.vlad.parameters())) == 3
    assert frozen.state_dict().keys() == learned.state_dict().keys()
    before = frozen.head.vlad.centres.clone()
    train(frozen, FeatureSet(maps(), np.arange(30) % 3), TrainingSettings(epochs=2, progress=False, accelerator="cpu"))
    assert torch.equal(frozen.head.vlad.centres, before)


def test_a_head_is_rebuilt_from_its_description():
    head = make(clusters=3, trainable=False, transform=7).head.eval()
    again = build_head(head.config()).eval()
    again.load_state_dict(head.state_dict())
    some = torch.randn(4, 24)
    assert torch.equal(again(some), head(some))


def test_random_centres_look_at_no_data():
    class Hidden(FeatureSet):
        def chunks(self, modality="image"):
            raise AssertionError("the data were read")

    hidden = Hidden(maps(), np.arange(30) % 3)
    make().prepare(hidden)
    with pytest.raises(AssertionError, match="were read"):
        make(centres="netvlad").prepare(hidden)


def test_the_rival_finds_the_clusters_and_takes_its_sharpness_from_the_data():
    directions = np.eye(6, dtype=np.float32)[:3]
    points = directions[np.arange(30)[:, None] + np.arange(4) & 1]  # two of three directions, all four places
    images = points.transpose(0, 2, 1).reshape(30, 24) + 0.01 * maps()
    method = make(centres="netvlad", clusters=2)
    method.prepare(FeatureSet(images, np.arange(30) % 3))
    layer = method.head.vlad
    found = layer.centres.detach()
    assert sorted(found.argmax(1).tolist()) == [0, 1]
    assert torch.allclose(found.max(1).values, torch.ones(2), atol=0.02)
    # the squared distances are 0 and 2 here, so that the nearest gets 100 times the share of the other
    alpha = (layer.weights / (2 * found)).detach()[found > 0.5]
    assert alpha.tolist() == pytest.approx([-math.log(0.01) / 2] * 2, rel=0.05)


def test_more_clusters_than_descriptors_are_refused():
    with pytest.raises(DataError, match="3 local descriptors cannot form 8 clusters"):
        k_means(np.eye(3, dtype=np.float32), 8, 0)


@pytest.mark.parametrize("params", [{"clusters": 1}, {"alpha": -1.0}, {"transform": 0}, {"centres": "fixed"}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError):
        make(**params)


def test_pooled_features_are_refused():
    with pytest.raises(DataError, match="the features are no maps"):
        build_method("rv-ssdh", Spec(16, 24, 30, SPACE))


def test_the_loss_has_no_balance_term():
    terms = make().loss(batch_of(torch.tensor([0, 1])), torch.randn(2, 16))
    assert set(terms) == {"classification", "quantization"}


@pytest.mark.parametrize("centres", ["random", "netvlad"])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path, centres):
    labels = (np.arange(30) % 3).astype(np.int64)
    spec = Spec(8, 24, 30, LabelSpace(tuple("abc")), map_shape=SHAPE)
    again, whole = resumed_and_whole(
        "rv-ssdh", spec, (maps(), labels), tmp_path, epochs=3, batch_size=10, at=5, centres=centres
    )
    assert all(torch.equal(again[key], whole[key]) for key in whole)


class Convolutions(nn.Module):
    """Digits to maps (32, 4, 4), flattened to vectors."""

    def __init__(self, pooled=False):
        super().__init__()
        first = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
        self.layers = nn.Sequential(*first, nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU())
        self.pooled = pooled

    def forward(self, pixels):
        pixels = pixels[:, :1] if pixels.ndim == 4 else pixels.view(-1, 1, 8, 8)
        maps = self.layers(pixels)
        return maps.mean((2, 3)) if self.pooled else maps.flatten(1)


def learn_maps(name, images, labels, *, seed, epochs=15, **params):
    """Train a small convolutional network with a method; return both."""
    torch.manual_seed(seed)
    network = Convolutions(pooled=name == "ssdh")
    width, shape = (32, None) if name == "ssdh" else (512, (32, 4, 4))
    method = build_method(name, Spec(16, width, len(images), SPACE, seed=seed, map_shape=shape), **params)
    settings = TrainingSettings(
        epochs=epochs, backbone_lr=1e-3, batch_size=50, seed=seed, progress=False, accelerator="cpu"
    )
    train(method, PixelSet(Pixels(images), network, labels=labels), settings)
    return method, network.eval()


VARIANTS = {
    "random": {},
    "random, frozen": {"trainable": False},
    "netvlad": {"centres": "netvlad"},
}


@pytest.mark.slow
@pytest.mark.exhaustive
def test_on_digits_random_centres_are_as_good_as_clustered_ones():
    queries, data, database = split()
    found = {
        name: [
            deep_score(*learn_maps("rv-ssdh", *data, seed=seed, transform=64, **params), queries, database)
            for seed in (0, 1, 2)
        ]
        for name, params in VARIANTS.items()
    }
    means = {name: np.mean(scores) for name, scores in found.items()}
    itq = score(learn("itq", 16, data[0]), queries, database)
    assert all(min(scores) > itq + 0.2 for scores in found.values()), found
    assert means["random"] > means["netvlad"] - 0.02, found
    assert means["random, frozen"] > means["netvlad"] - 0.02, found


def test_the_head_needs_its_shape():
    with pytest.raises(UsageError, match="do not fit vectors"):
        VladHead(25, 8, SHAPE)
