"""Networks of attacks: their losses against plain loops, their shapes, and their folders."""

import json

import numpy as np
import pytest
import torch

from kinbits.attacks import Reference, Victim, build_attack, load_attack
from kinbits.attacks.blocks import Discriminator, Generator, PrototypeNet, circle, likelihood, train_prototypes
from kinbits.attacks.pros_gan import judging
from kinbits.attacks.tha import THA
from kinbits.errors import ArtefactError, DataError, UsageError

FEW = {"tha": {"prototype_steps": 3}, "pros-gan": {"epochs": 1, "width": 8, "prototype_steps": 3}}


class Given(torch.nn.Module):
    """A network of prototypes that returns what it was given."""

    def __init__(self, codes, guesses):
        super().__init__()
        self.found = None, codes, guesses

    def forward(self, labels):
        return self.found


@pytest.fixture
def known():
    random = torch.Generator().manual_seed(0)
    codes = torch.where(torch.rand(6, 4, generator=random) < 0.5, -1.0, 1.0)
    return Reference(codes, torch.eye(3).repeat(2, 1))


@pytest.fixture
def net():
    codes, guesses = [[0.5, -0.2, 0.9, 0.1], [-0.6, 0.3, 0.2, -0.8]], [[0.9, 0.2, 0.1], [0, 0.5, 0.6]]
    return Given(torch.tensor(codes), torch.tensor(guesses))


def test_likelihood_against_a_plain_loop(net, known):
    labels = torch.eye(3)[:2]
    _, codes, guesses = net.found
    fit = 0.0
    for h, y in zip(codes, labels, strict=True):
        for b, other in zip(known.codes, known.labels, strict=True):
            t = float(h @ b) / 2
            fit += np.log1p(np.exp(t)) - float(y @ other > 0) * t
    rest = 1e-4 * float(((codes.sign() - codes) ** 2).sum(1).mean()) + float(((guesses - labels) ** 2).mean())
    assert float(likelihood(net, labels, known)) == pytest.approx(fit / 12 + rest, rel=1e-5)


def test_the_circle_loss_against_a_plain_loop(net, known):
    labels, codes = torch.eye(3)[:2], net.found[1]
    total = 0.0
    for h, y in zip(codes, labels, strict=True):
        near = far = 0.0
        for b, other in zip(known.codes, known.labels, strict=True):
            s = float(h @ b) / 4
            if float(y @ other) > 0:
                near += np.exp(-max(1 - s, 0) * (s - 1))
            else:
                far += np.exp(max(s, 0) * s)
        total += np.log1p(near * far)
    rest = 1e-4 * float(((codes.sign() - codes) ** 2).sum(1).mean())
    assert float(circle(net, labels, known)) == pytest.approx(total / 2 + rest, rel=1e-5)


@pytest.mark.parametrize("objective", [likelihood, circle])
def test_prototypes_are_learned(objective):
    torch.manual_seed(0)
    plus = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])  # balanced bits: rows are bits
    centres = plus.T.repeat(1, 4)
    labels = torch.eye(4).repeat(15, 1)
    noisy = centres.repeat(15, 1) * torch.where(torch.rand(60, 12) < 0.1, -1.0, 1.0)
    net = PrototypeNet(4, 12)
    train_prototypes(net, Reference(noisy, labels), objective, steps=100, generator=torch.Generator().manual_seed(0))
    assert torch.equal(net.codes(torch.eye(4)), centres)


def test_the_losses_of_the_discriminator_are_the_worked_numbers():
    out, labels = torch.tensor([[0.9, 0.1, 0.2], [0.2, 0.7, -0.1]]), torch.eye(2)
    real = torch.nn.functional.mse_loss(out, torch.cat([labels, torch.zeros(2, 1)], 1))
    assert float(real) == pytest.approx(0.033333, abs=1e-6)
    assert float(judging(out, out, labels, labels)) == pytest.approx((0.033333 + 0.333333) / 2, abs=1e-6)


@pytest.mark.parametrize("size", [8, 15, 16, 28, 33, 64])
def test_networks_fit_images_of_any_size(size):
    images, features = torch.rand(2, 3, size, size), torch.rand(2, 512)
    made = Generator(size, width=8)(images, features)
    assert made.shape == images.shape
    assert float(made.detach().abs().max()) <= 1
    assert Discriminator(size, 5, width=8)(images).shape == (2, 6)


@pytest.fixture
def victim():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64, 4))
    return Victim(network.eval(), bits=4, size=8, fingerprint="v" * 64)


def trained(name, victim, known, seed=0):
    attack = build_attack(name, **FEW[name])
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), np.uint8)
    attack.train(victim, pixels, known.labels, known, seed=seed)
    return attack


@pytest.mark.parametrize("name", FEW)
def test_a_folder_says_what_it_is(name, victim, known, tmp_path):
    attack = trained(name, victim, known)
    attack.save(tmp_path / "a")
    attack.save(tmp_path / "a")  # replaces
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config["attack"] == name
    assert config["victim"] == "v" * 64
    assert config["params"] == FEW[name]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "config.json", "weights.safetensors"]
    assert load_attack(tmp_path / "a").facts == attack.facts


@pytest.mark.parametrize("name", FEW)
def test_training_is_repeatable_and_leaves_the_global_generator(name, victim, known):
    before = torch.get_rng_state()
    weights = [trained(name, victim, known, seed).networks.state_dict() for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    equal = [all(torch.equal(weights[0][key], other[key]) for key in other) for other in weights]
    assert equal == [True, True, False]


def test_damaged_folders_are_refused(victim, known, tmp_path):
    attack = trained("tha", victim, known)
    attack.save(tmp_path / "a")
    config = (tmp_path / "a" / "config.json").read_text()
    for fault, message in (
        ("{", "holds no attack"),
        ("[]", "of this version"),
        (config.replace('"format": 1', '"format": 2'), "of this version"),
        (config.replace('"tha"', '"thaa"'), "cannot be rebuilt"),
        (config.replace('"tha"', '"pgd"'), "cannot be rebuilt"),
        (config.replace('"bits": 4', '"bits": 5'), "no whole attack"),
        (config.replace('"bits": 4', '"bits": "x"'), "no whole attack"),
    ):
        (tmp_path / "a" / "config.json").write_text(fault)
        with pytest.raises(ArtefactError, match=message):
            load_attack(tmp_path / "a")
    (tmp_path / "a" / "config.json").write_text(config)
    (tmp_path / "a" / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(ArtefactError, match="no whole attack"):
        load_attack(tmp_path / "a")
    with pytest.raises(ArtefactError, match="holds no attack"):
        load_attack(tmp_path / "missing")


def test_an_attack_is_for_models_of_its_shape(victim, known):
    attack = trained("tha", victim, known)
    other = Victim(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 5)), bits=5, size=8)
    with pytest.raises(UsageError, match="train it again"):
        attack(other, torch.rand(2, 3, 8, 8), targets=torch.eye(3)[:2])


def test_an_attack_is_for_classes_in_their_order(victim, known):
    named = Reference(known.codes, known.labels, ("a", "b", "c"))
    attack = trained("tha", victim, named)
    other = Reference(known.codes, known.labels, ("b", "a", "c"))
    targets = torch.eye(3)[:2]
    assert len(attack(victim, torch.rand(2, 3, 8, 8), targets=targets, reference=named)) == 2
    with pytest.raises(UsageError, match="in another order"):
        attack(victim, torch.rand(2, 3, 8, 8), targets=targets, reference=other)


def test_what_an_attack_is_made_with_is_saved_however_it_is_made(victim, known, tmp_path):
    attack = THA(epsilon=0.25, steps=3, prototype_steps=2)
    attack.train(victim, np.zeros((6, 3, 8, 8), np.uint8), known.labels, known)
    attack.save(tmp_path / "a")
    loaded = load_attack(tmp_path / "a")
    assert (loaded.epsilon, loaded.steps, loaded.params) == (0.25, 3, attack.params)


def test_numbers_that_are_not_finite_are_refused(victim, known, tmp_path):
    attack = build_attack("pros-gan", **FEW["pros-gan"], lr=1e30)
    with pytest.raises(DataError, match="lower its lr"):
        attack.train(victim, np.full((6, 3, 8, 8), 100, np.uint8), known.labels, known)
    made = trained("tha", victim, known)
    for value in made.networks.state_dict().values():
        value.fill_(torch.nan)
    made.save(tmp_path / "a")
    with pytest.raises(ArtefactError, match="no whole attack"):
        load_attack(tmp_path / "a")


def test_something_else_is_not_overwritten(victim, known, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "photo.jpg").write_bytes(b"x")
    with pytest.raises(ArtefactError, match="something else"):
        trained("tha", victim, known).save(tmp_path / "a")
    assert (tmp_path / "a" / "photo.jpg").exists()


@pytest.mark.parametrize("name", FEW)
def test_data_of_another_form_are_refused_and_nothing_is_half_learned(name, victim, known):
    attack, pixels = build_attack(name, **FEW[name]), np.zeros((6, 3, 8, 8), np.uint8)
    for images, labels in (
        (pixels.astype(np.float32), known.labels),
        (pixels[:, :, 1:], known.labels),
        (pixels[:0], known.labels[:0]),
        (pixels, known.labels[:, :2]),
        (pixels, known.labels[1:]),
    ):
        with pytest.raises(DataError):
            attack.train(victim, images, labels, known)
    attack.learn = lambda *args, **more: 1 / 0
    with pytest.raises(ZeroDivisionError):
        attack.train(victim, pixels, known.labels, known)
    with pytest.raises(UsageError, match="learned nothing"):
        attack.save("nowhere")


def test_a_reference_without_labels_is_refused(victim):
    empty = Reference(torch.ones(6, 4), torch.zeros(6, 2))
    with pytest.raises(DataError, match="no known image has a label"):
        trained("tha", victim, empty)
