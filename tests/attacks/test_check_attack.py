"""Every attack meets the contract, and the check finds attacks that do not."""

import pytest
import torch

from kinbits.attacks import Attack, build_attack, get_attack, list_attacks, register_attack
from kinbits.errors import UsageError
from kinbits.testing import check_attack

FEW = {
    "noise": {},
    "pgd": {"steps": 3},
    "hag": {"steps": 3},
    "sdha": {"steps": 3},
    "sdha-targeted": {"steps": 3},
    "p2p": {"steps": 3},
    "dhta": {"steps": 3},
    "tha": {"steps": 3, "prototype_steps": 5},
    "pros-gan": {"epochs": 1, "width": 8, "prototype_steps": 5},
}


def test_every_attack_is_checked():
    assert set(FEW) <= set(list_attacks())


@pytest.mark.parametrize("name", FEW)
def test_an_attack_meets_the_contract(name):
    check_attack(name, **FEW[name])


@pytest.mark.parametrize("params", [{"code": "mainstay"}, {"form": "sharp"}, {"random_start": True}, {"rising": True}])
def test_the_variants_of_pgd_meet_it_too(params):
    check_attack("pgd", steps=3, **params)


@pytest.fixture
def registered():
    from kinbits.attacks import registry

    before = dict(registry._REGISTRY._classes)
    yield
    registry._REGISTRY._classes = before


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda self, batch: batch.images, "every image changes"),
        (lambda self, batch: batch.images + torch.randn_like(batch.images), "one seed"),
        (lambda self, batch: batch.victim.network.train() and batch.images + 0.01, "stays as it was"),
    ],
)
def test_the_check_finds_a_fault(fault, message, registered):
    register_attack("faulty")(type("Faulty", (Attack,), {"perturb": fault}))
    with pytest.raises(AssertionError, match=message):
        check_attack("faulty")


def test_an_attack_cannot_exceed_its_budget(registered):
    register_attack("loud")(type("Loud", (Attack,), {"perturb": lambda self, batch: batch.images + 1}))
    check_attack("loud")  # is cut off


def test_a_name_belongs_to_one_attack(registered):
    with pytest.raises(UsageError, match="two attacks are called 'pgd'"):
        register_attack("pgd")(type("Other", (Attack,), {"perturb": lambda self, batch: batch.images}))


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("pdg", {}, "pgd"),
        ("pgd", {"stepz": 3}, "steps"),
        ("pgd", {"steps": 0}, "steps is 0"),
        ("pgd", {"epsilon": -0.1}, "epsilon=-0.1"),
        ("pgd", {"epsilon": None}, "epsilon"),
        ("pgd", {"step_size": 0.0}, "step_size"),
        ("pgd", {"code": "owne"}, "code"),
        ("sdha", {"steps": 0}, "steps"),
        ("dhta", {"images": 0}, "images"),
        ("pros-gan", {"epochs": 0}, "epochs"),
    ],
)
def test_impossible_settings_are_refused(name, params, message):
    with pytest.raises(UsageError, match=message):
        build_attack(name, **params)


def test_an_attack_that_was_not_trained_says_so():
    attack = build_attack("tha")
    assert get_attack("tha").trained
    with pytest.raises(UsageError, match="learned nothing"):
        attack.save("nowhere")
