"""What the contract offers methods with a past, or with codes that are finished late."""

import copy

import numpy as np
import pytest
import torch
from digits import Network, Pixels, batch_of
from torch import nn

from kinbits.heads import Linear
from kinbits.methods import Method, Recipe, Spec, ema_copy, update_ema
from kinbits.training import FeatureSet, PixelSet, TrainingSettings, train

ROWS = 60
IMAGES = np.random.default_rng(0).random((ROWS, 64)).astype(np.float32)


class Remembers(Method):
    """Pulls logits to 1; keeps what it was given."""

    name, supervision = "test-remembers", "none"
    recipe = Recipe(epochs=2, batch_size=20, backbone_lr=1e-2)

    def __init__(self, spec, ema_decay=0.5):
        super().__init__(spec)
        self.ema_decay, self.batches, self.epochs = ema_decay, [], []
        self.head = Linear(spec.feature_dim, spec.bits)

    def start_epoch(self, epoch, train):
        self.epochs.append((epoch, train.epochs))

    def loss(self, batch, logits):
        self.batches.append(batch)
        return {"pull": (logits - 1).square().mean()}


def run(ema_decay, network=None, **more):
    torch.manual_seed(0)
    network = network or Network(IMAGES)
    method = Remembers(Spec(8, 128, ROWS), ema_decay)
    data = PixelSet(Pixels(IMAGES), network)
    train(method, data, TrainingSettings(progress=False, accelerator="cpu", **more))
    return method, data


def test_three_steps_towards_one():
    slow, fast = nn.Linear(1, 1), nn.Linear(1, 1)
    nn.init.zeros_(slow.weight)
    nn.init.ones_(fast.weight)
    for _ in range(3):
        update_ema(slow, fast, 0.9)
    assert slow.weight.item() == pytest.approx(0.271, abs=1e-6)


def test_the_copy_lags_and_has_no_gradient():
    method, data = run(0.9)
    first, last = method.batches[0], method.batches[-1]
    assert torch.equal(first.reference_features, first.features)  # the copy starts as the network
    assert not torch.allclose(last.reference_features, last.features, atol=1e-3)
    assert not last.reference_features.requires_grad
    assert last.features.requires_grad
    assert not any(p.requires_grad for p in data.ema_backbone.parameters())


def test_a_copy_without_memory_is_the_network():
    method, _ = run(0.0)
    assert all(torch.equal(batch.reference_features, batch.features) for batch in method.batches)


def test_asking_for_no_copy_costs_none():
    method, data = run(None)
    assert data.ema_backbone is None
    assert torch.equal(method.batches[-1].reference_features, method.batches[-1].features)


def test_the_copy_drops_nothing_out_but_takes_statistics_from_its_batch():
    network = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.9))
    twin = ema_copy(network)
    values = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) + 7
    assert torch.allclose(twin(values).mean(0), torch.zeros(4), atol=1e-5)
    assert (twin(values) != 0).all()
    assert network.training  # the original is left alone


class Normalised(nn.Module):
    """A small network with batch norm."""

    features = 128

    def __init__(self):
        super().__init__()
        self.inner, self.norm = Network(IMAGES), nn.BatchNorm1d(128)

    def forward(self, images):
        return self.norm(self.inner(images))


def test_the_copy_that_never_changes_gives_the_features_from_before_training():
    torch.manual_seed(0)
    network = Normalised()
    with torch.no_grad():
        network.norm.running_mean += 0.3  # as after training elsewhere
        network.norm.running_var *= 4
    before = PixelSet(Pixels(IMAGES), copy.deepcopy(network)).features()
    method, data = run(1.0, network, batch_size=7)
    assert not torch.allclose(data.features(), before, atol=1e-3)
    sizes = set()
    for batch in method.batches:
        assert torch.allclose(batch.reference_features, before[batch.rows], atol=1e-5)
        sizes.add(len(batch.rows))
    assert sizes == {7, 4}


def test_frozen_features_are_their_own_past():
    batch = batch_of(features=torch.randn(3, 5))
    assert torch.equal(batch.reference_features, batch.features)


def test_a_resumed_run_has_the_copy_of_the_unbroken_one(tmp_path):
    _, whole = run(0.9, epochs=4)
    stopped = Remembers(Spec(8, 128, ROWS), 0.9)
    stopped.end_epoch = lambda epoch, train: (_ for _ in ()).throw(KeyboardInterrupt) if epoch == 2 else None
    torch.manual_seed(0)
    network = Network(IMAGES)
    method = Remembers(Spec(8, 128, ROWS), 0.9)
    stopped.load_state_dict(method.state_dict())
    settings = {"epochs": 4, "progress": False, "accelerator": "cpu", "checkpoints": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        train(stopped, PixelSet(Pixels(IMAGES), copy.deepcopy(network)), TrainingSettings(**settings))
    torch.manual_seed(1)
    again = PixelSet(Pixels(IMAGES), Network(IMAGES))
    train(Remembers(Spec(8, 128, ROWS), 0.9), again, TrainingSettings(**settings, resume=True))
    for key, value in whole.ema_backbone.state_dict().items():
        assert torch.equal(again.ema_backbone.state_dict()[key], value), key


def test_schedules_know_the_length_of_the_run():
    method, _ = run(None, epochs=3)
    assert method.epochs == [(0, 3), (1, 3), (2, 3)]


class Unfinished(Remembers):
    """Has its final code only from the third epoch on."""

    @property
    def codes_ready(self):
        return len(self.epochs) >= 3


def test_no_epoch_is_chosen_or_stopped_after_before_the_code_is_complete():
    labels = np.arange(ROWS) % 3
    features = np.eye(3, 8, dtype=np.float32)[labels]
    method = Unfinished(Spec(8, 8, ROWS), None)
    held = FeatureSet(features[:12], labels[:12])
    settings = TrainingSettings(epochs=9, validation=0.2, patience=1, lr=1e-9, progress=False, accelerator="cpu")
    history = train(method, FeatureSet(features, labels), settings, held)
    assert ["validation" in record for record in history.epochs] == [False, False, True, True]
    assert history.best_epoch == 2
    assert history.stopped_early
