"""What an attack is given: labels, targets and known codes; what is missing is named."""

import numpy as np
import pytest
import torch

from kinbits.attacks import Reference, Victim, build_attack, draw_targets, list_attacks, multi_hot
from kinbits.attacks.blocks import mainstay_codes
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
        ("sdha-targeted", {"targets": None}, "needs a target label"),
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


class RowByRow(torch.nn.Module):
    """A network whose numbers for an image cannot depend on the other images."""

    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.randn(6, 192, generator=torch.Generator().manual_seed(1)))

    def forward(self, images):
        return torch.stack([self.weights @ image.flatten() for image in images])


MANY = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(2))
EVERY = {
    "noise": {},
    "pgd": {"random_start": True, "steps": 3},
    "hag": {"random_start": True, "steps": 3},
    "sdha": {"steps": 3},
    "sdha-targeted": {"steps": 3},
    "p2p": {"steps": 3},
    "dhta": {"steps": 3, "images": 3},
    "tha": {"steps": 3, "random_start": True, "prototype_steps": 2},
    "pros-gan": {"epochs": 1, "width": 8, "prototype_steps": 2},
}


def test_every_attack_is_run_in_batches():
    assert set(EVERY) <= set(list_attacks())


@pytest.mark.parametrize("name", EVERY)
def test_an_image_is_changed_by_its_row_and_the_seed_whatever_its_batch(name):
    victim = Victim(RowByRow().eval(), bits=6, size=8)
    labels = torch.eye(4)[torch.arange(40) % 4]
    known = Reference(victim.codes(MANY), labels)
    attack = build_attack(name, epsilon=0.1, **EVERY[name])
    if attack.trained:
        attack.train(victim, (255 * MANY).byte(), labels, known)

    def made(batch, seed=0, rows=range(40)):
        parts = torch.split(torch.tensor(rows), batch)
        some = {"labels": labels, "targets": labels.roll(1, dims=1)}
        given = [{key: value[part] for key, value in some.items()} for part in parts]
        called = zip(parts, given, strict=True)
        changed = [
            attack(victim, MANY[part], reference=known, seed=seed, rows=part.tolist(), **one) for part, one in called
        ]
        return torch.cat(changed)

    alone, whole = made(1), made(40)
    assert torch.equal(made(32), whole) or name == "pros-gan"  # convolutions round by the size of a batch
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-5)
    assert torch.equal(made(7, rows=range(39, -1, -1)).flip(0), made(7)) or name == "pros-gan"
    draws = name in ("noise", "pgd", "hag", "p2p", "dhta", "tha")
    assert torch.equal(made(40, seed=1), whole) != draws


def test_rows_are_numbers_one_for_each_image(victim):
    attack = build_attack("noise")
    assert torch.equal(attack(victim, IMAGES), attack(victim, IMAGES, rows=range(4)))
    assert not torch.equal(attack(victim, IMAGES), attack(victim, IMAGES, rows=range(4, 8)))
    assert torch.equal(attack(victim, IMAGES[2:], rows=[2, 3]), attack(victim, IMAGES)[2:])
    told = {"1 rows are given for 4 images": [[0]], "give the row number": [[0, 1, 2, -1], "abcd", [0.5] * 4, 5]}
    for message, rows in ((message, one) for message, several in told.items() for one in several):
        with pytest.raises(DataError, match=message):
            attack(victim, IMAGES, rows=rows)
    with pytest.raises(UsageError, match="seed is -1"):
        attack(victim, IMAGES, seed=-1)


def test_arrays_and_lists_serve_as_tensors_do(victim, known):
    attack, labels = build_attack("dhta", steps=2), known.labels
    made = attack(victim, IMAGES, targets=labels, reference=known)
    arrays = Reference(known.codes.numpy().astype(np.int8), known.labels.numpy().astype(bool))
    again = attack(victim, IMAGES.double().numpy(), targets=labels.tolist(), reference=arrays)
    assert torch.equal(again, made)
    assert torch.equal(victim.codes(IMAGES.numpy()), victim.codes(IMAGES))
    found = [draw_targets(given, known, torch.Generator().manual_seed(0))[0] for given in (labels, labels.numpy())]
    assert torch.equal(*found)
    assert torch.equal(mainstay_codes(labels.numpy(), arrays), mainstay_codes(labels, known))
    trained = build_attack("tha", prototype_steps=2)
    trained.train(victim, (255 * IMAGES).byte(), labels.numpy(), known)
    assert trained.facts["images"] == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda victim, known: build_attack("noise")(victim, "photo.jpg"), "images are 'photo.jpg'; give a"),
        (lambda victim, known: build_attack("noise")(victim, [[1], [1, 2]]), "give a tensor or an array of numbers"),
        (lambda victim, known: build_attack("noise")(victim, np.zeros((1, 3, 8, 8), np.uint8)), "take floats"),
        (lambda victim, known: build_attack("noise")(victim, IMAGES, labels=np.array(["a"] * 4)), "labels are array"),
        (lambda victim, known: victim.codes(np.zeros((2, 8, 8, 3))), r"take floats \(b, 3, 8, 8\)"),
        (lambda victim, known: Reference(np.array(["a"]), [[1]]), "codes of a reference are"),
        (lambda victim, known: Reference([[0, 1]], [[1]]), r"\+1 and -1; unpack bits"),
        (lambda victim, known: draw_targets([0, 3], known, torch.Generator()), "from -1 to 2, or multi-hot rows"),
        (lambda victim, known: multi_hot(np.array([0.5]), 3), "give class numbers"),
        (lambda victim, known: multi_hot(np.array([3]), 3), "give class numbers"),
        (lambda victim, known: mainstay_codes(torch.eye(2), known), "give class numbers"),
        (lambda victim, known: build_attack("tha").train(victim, IMAGES, known.labels, known), "give bytes"),
    ],
)
def test_what_is_no_such_array_is_refused_in_one_line(call, message, victim, known):
    with pytest.raises(DataError, match=message) as told:
        call(victim, known)
    assert "\n" not in str(told.value)
