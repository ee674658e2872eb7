"""Every defence meets the contract, and the check finds defences that do not."""

import numpy as np
import pytest
import torch

from kinbits.attacks import blocks
from kinbits.defences import Defence, list_defences, register_defence
from kinbits.errors import UsageError
from kinbits.testing import check_defence

OURS = ("saat", "cgat", "atrdh")


def test_every_defence_is_checked():
    assert set(OURS) <= set(list_defences())


@pytest.mark.parametrize("name", OURS)
def test_a_defence_meets_the_contract(name):
    check_defence(name, steps=2)


@pytest.fixture
def registered():
    from kinbits.defences import registry

    before = dict(registry._REGISTRY._classes)
    yield
    registry._REGISTRY._classes = before


class Sound(Defence):
    """Attacked images keep the code that they had."""

    def terms(self, batch):
        return {"adversarial": self.weight * self.kept(batch)}

    def kept(self, batch):
        codes = blocks.mainstay_codes(batch.labels, batch.reference)
        images = self.attacked(batch, blocks.away_from(codes))
        return 1 - (batch.victim.logits(images).tanh() * codes).mean()


def test_a_sound_defence_of_ones_own_passes_by_its_class(registered):
    check_defence(register_defence("sound")(Sound), steps=2)


def test_a_class_without_a_name_is_told_to_get_one(registered):
    with pytest.raises(AssertionError, match="registered by @register_defence"):
        check_defence(Sound)
    with pytest.raises(UsageError, match="saat"):
        check_defence("sat")


def infinite(self, batch):
    return {"adversarial": self.weight * self.kept(batch), "scale": torch.tensor(torch.inf)}


def detached(self, batch):
    return {"adversarial": self.weight * self.kept(batch).detach()}


def nothing(self, batch):
    return {}


def several(self, batch):
    return {"adversarial": self.weight * self.kept(batch).expand(3)}


def head_alone(self, batch):
    network = batch.victim.network.network
    features = network.backbone(batch.images).detach()
    self.kept(batch)
    return {"adversarial": self.weight * network.head(features).square().mean()}


def in_training_mode(self, batch):
    images = batch.images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(batch.victim.logits(images).sum(), images)
    made = (batch.images + 0.03 * gradient.sign()).clamp(0, 1)
    return {"adversarial": self.weight * batch.victim.logits(made).square().mean()}


def leaving_gradients(self, batch):
    self.kept(batch).backward()
    return {"adversarial": self.weight * self.kept(batch)}


def moving_weights(self, batch):
    with torch.no_grad():
        next(batch.victim.network.parameters()).mul_(1.01)
    return {"adversarial": self.weight * self.kept(batch)}


def leaving_a_mode(self, batch):
    batch.victim.network.eval()
    return {"adversarial": self.weight * self.kept(batch)}


def too_far(self, batch):
    made = (batch.images + 0.2).clamp(0, 1)
    return {"adversarial": self.weight * batch.victim.logits(made).square().mean()}


def not_at_all(self, batch):
    return {"adversarial": self.weight * batch.victim.logits(batch.images).square().mean()}


def drawing_from_all(self, batch):
    return {"adversarial": self.weight * self.kept(batch) * (1 + torch.rand(()))}


def drawing_from_numpy(self, batch):
    return {"adversarial": self.weight * self.kept(batch) * (1 + np.random.random())}  # noqa: NPY002


def never_off(self, batch):
    return {"adversarial": (1 + self.weight) * self.kept(batch)}


def without_weight(self, batch):
    return {"adversarial": self.kept(batch)}


def counting(self, batch):
    self.steps_done = getattr(self, "steps_done", 0) + 1  # is in no state_dict
    return {"adversarial": self.weight * self.kept(batch) * self.steps_done}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (infinite, "term 'scale' is finite"),
        (detached, "gradients of the terms reach the network"),
        (nothing, "a mapping from names, of one at least"),
        (several, "a tensor of one number"),
        (head_alone, "gradients of the terms reach the backbone"),
        (in_training_mode, "crafting leaves batch statistics alone"),
        (leaving_gradients, "keeps its weights, gradients and modes"),
        (moving_weights, "keeps its weights, gradients and modes"),
        (leaving_a_mode, "keeps its weights, gradients and modes"),
        (too_far, "no pixel moves by more than epsilon"),
        (not_at_all, "images are attacked"),
        (drawing_from_all, "everything random comes from the generator"),
        (drawing_from_numpy, "everything random comes from the generator"),
        (never_off, "weight 0 switches the adversarial term off"),
        (without_weight, "weight scales a term"),
        (counting, "a resumed run ends where an uninterrupted one does"),
    ],
)
def test_the_check_finds_a_fault(fault, message, registered):
    register_defence("faulty")(type("Faulty", (Sound,), {"terms": fault}))
    with pytest.raises(AssertionError, match=message):
        check_defence("faulty", steps=1)


def test_the_check_finds_a_defence_that_disturbs_the_epochs_before_it(registered):
    class Early(Sound):
        start = property(lambda self: 0.0, lambda self, given: None)  # whatever was asked for

    register_defence("early")(Early)
    with pytest.raises(AssertionError, match="epochs before start are those of a run without a defence"):
        check_defence("early", steps=1)


def test_the_check_finds_parameters_that_are_not_checked(registered):
    class Loose(Sound):
        def __init__(self, *, weight: float = 1.0, steps: int = 7, start: float = 0.5):
            super().__init__(steps=steps, start=start)
            self.weight = weight

    register_defence("loose")(Loose)
    with pytest.raises(AssertionError, match=r"an error for weight=-1\.0"):
        check_defence("loose", steps=1)
