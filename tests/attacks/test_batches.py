"""What an attack is given: labels, targets and known codes; what is missing is named."""

import numpy as np
import pytest
import torch

from kinbits.attacks import Reference, Victim, build_attack, draw_targets, multi_hot
from kinbits.errors import DataError, UsageError

IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def victim():
    torch.manual_seed(0)
    return Victim(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 6)).eval(), bits=6, size=8)


@pytest.fixture
def known(victim):
    return Reference(victim.codes(IMAGES), torch.eye(3)[[0, 1, 2, 0]])


def test_a_network_without_gradient_is_refused():
    class Compiled(torch.nn.Linear):
        def forward(self, images):
            return torch.from_numpy(images.detach().flatten(1).numpy()[:, :6].copy())

    with pytest.raises(UsageError, match="no gradient reaches the pixels through backbone 'x'"):
        Victim(Compiled(1, 1), bits=6, size=8, name="backbone 'x'")


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("dhta", {"targets": None}, "needs a target label"),
        ("dhta", {"reference": None}, "give a reference"),
        ("dhta", {"targets": torch.eye(2)[[0, 1, 0, 1]]}, "targets have 2 classes, and the reference has 3"),
        ("dhta", {"targets": torch.tensor([[0.0, 0, 0]] * 4)}, "target of image 0 is of no known image"),
        ("p2p", {"targets": torch.eye(3)}, "give multi-hot rows"),
        ("sdha", {"labels": None}, "follows the labels"),
        ("pgd", {"reference": None}, "give a reference"),
    ],
)
def test_what_is_missing_is_named(name, given, message, victim, known):
    params = {"code": "mainstay"} if name == "pgd" else {}
    known_of = {"labels": known.labels, "targets": known.labels, "reference": known, **given}
    with pytest.raises(DataError, match=message):
        build_attack(name, steps=1, **params)(victim, IMAGES, **known_of)


def test_targets_share_no_class_and_rows_without_one_are_told():
    rows = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 0]])
    known = Reference(torch.ones(4, 2), rows)
    labels = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 1, 1]])
    found = set()
    for seed in range(20):
        targets, free = draw_targets(labels, known, torch.Generator().manual_seed(seed))
        assert free.tolist() == [True, True, False]
        assert ((targets * labels).sum(1) == 0).tolist() == [True, True, False]
        assert targets[2].tolist() == labels[2].tolist()
        assert targets[1].tolist() == [1, 0, 0]
        found.add(tuple(targets[0].tolist()))
    assert found == {(0, 1, 0), (0, 1, 1)}


def test_labels_become_multi_hot():
    assert multi_hot(np.array([1, -1, 0]), 2).tolist() == [[0, 1], [0, 0], [1, 0]]
    assert multi_hot(np.array([[1, 1]], np.uint8), 2).tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("codes", "labels", "message"),
    [
        (torch.ones(2, 3), torch.ones(3, 1), "must be"),
        (torch.ones(0, 3), torch.ones(0, 1), "at least 1"),
        (torch.zeros(2, 3), torch.ones(2, 1), r"\+1 and -1"),
    ],
)
def test_an_impossible_reference_is_refused(codes, labels, message):
    with pytest.raises(DataError, match=message):
        Reference(codes, labels)


def test_images_of_a_label_have_it_exactly_where_there_are_any():
    rows = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 0]])
    known = Reference(torch.ones(4, 2), rows)
    assert known.with_label(torch.tensor([1.0, 1, 0])).tolist() == [1, 3]
    assert known.with_label(torch.tensor([1.0, 0, 1])).tolist() == [0, 1, 3]
    assert known.with_label(torch.tensor([1.0, 1, 1])).tolist() == [1, 3]
    assert known.with_label(torch.tensor([0.0, 0, 1])).tolist() == []


def test_a_reference_of_other_codes_is_refused(victim):
    other = Reference(torch.ones(3, 1), torch.eye(3))
    with pytest.raises(DataError, match="have 1 bits, and the model has 6"):
        build_attack("p2p", steps=1)(victim, IMAGES, targets=torch.eye(3)[[0, 1, 2, 0]], reference=other)


def test_attacks_run_where_gradients_are_off(victim):
    with torch.no_grad():
        again = Victim(victim.network, bits=6, size=8)
        assert not torch.equal(build_attack("pgd", steps=1)(again, IMAGES), IMAGES)


def test_few_images_of_a_label_vote_with_replacement(victim, known):
    attack = build_attack("dhta", steps=1, images=50)
    made = attack(victim, IMAGES, targets=known.labels, reference=known)
    assert made.shape == IMAGES.shape
