"""DCMH: the sheet's numbers, the equation in plain loops, the shared codes, the memories, digits cut in halves."""

import itertools
import math

import numpy as np
import pytest
import torch
from digits import SPACE, batch_of, both_ways, halves, learn, resumed_and_whole
from pair_cases import dot

from kinbits import DataError, UsageError
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method
from kinbits.methods.blocks import signs
from kinbits.training import FeatureSet

F = torch.tensor([[0.8, -0.6], [-0.4, 1.2], [0.5, 0.3]])
G = torch.tensor([[1.0, -0.2], [-0.9, 0.7], [0.2, -0.5]])
LABELS = torch.tensor([0, 1, 0])
ROWS = torch.arange(3)


def held(images=F, texts=G, labels=LABELS, **params):
    """Return a method whose memories are these."""
    n, bits = images.shape
    classes = labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
    space = LabelSpace(tuple(map(str, range(classes))), multi=labels.ndim == 2)
    method = build_method("dcmh", Spec(max(bits, 4), 3, n, space, 5), **{"eta": 1.0, **params})
    method.images, method.texts, method.shared = images.clone(), texts.clone(), signs(images + texts)
    data = FeatureSet(np.zeros((n, 3), np.float32), labels.numpy(), np.ones((n, 5), np.float32))
    method.start_epoch(0, data)
    return method


def whole(method, labels=LABELS):
    """Return J's three parts from the turns of both modalities on all rows."""
    rows = torch.arange(len(method.images))
    area = len(rows) ** 2
    image, text = (
        {name: area * float(term) for name, term in method.turn(m, rows, labels, memory.clone()).items()}
        for m, memory in (("image", method.images), ("text", method.texts))
    )
    assert image["likelihood"] == pytest.approx(text["likelihood"], abs=1e-4)
    return image["likelihood"], *(image[name] + text[name] for name in ("quantization", "balance"))


def test_the_worked_codes_and_objective():
    method = held()
    assert method.shared.tolist() == [[1, -1], [-1, 1], [1, -1]]
    assert whole(method) == pytest.approx((4.973099, 4.17, 1.71), abs=1e-5)


def test_the_worked_image_step():
    terms = held().turn("image", ROWS[:1], LABELS[:1], F[:1])
    assert float(sum(terms.values())) == pytest.approx(1.114111, abs=1e-6)


def test_no_other_shared_codes_lie_nearer_to_both_outputs():
    best = min(
        itertools.product((-1.0, 1.0), repeat=6),
        key=lambda flat: float(sum((torch.tensor(flat).view(3, 2) - z).square().sum() for z in (F, G))),
    )
    assert signs(F + G).flatten().tolist() == list(best)


def naive(f, row, images, texts, shared, labels, gamma, eta):
    """The image step's loss of a batch of one, by the equation."""
    n = len(texts)
    total = 0.0
    for j in range(n):
        theta = dot(f, texts[j]) / 2
        total += math.log(1 + math.exp(theta)) - theta * bool(labels[row] & labels[j])
    total += gamma * sum((b - x) ** 2 for b, x in zip(shared[row], f, strict=True))
    for k in range(len(f)):
        total += eta * (f[k] + sum(images[i][k] for i in range(n) if i != row)) ** 2
    return total / n


def test_a_turn_is_the_equation():
    generator = torch.Generator().manual_seed(0)
    images, texts, logits = (torch.randn(6, 5, generator=generator) for _ in range(3))
    sets = [{0}, {1, 2}, {2}, {0, 1}, {3}, {1}]
    hot = torch.tensor([[float(c in one) for c in range(4)] for one in sets])
    rows = torch.tensor([4, 1])
    method = held(images, texts, hot, gamma=0.7, eta=0.0)
    got = method.turn("image", rows, hot[rows], logits[rows])
    told = (images.tolist(), texts.tolist(), signs(images + texts).tolist(), sets, 0.7)
    wanted = np.mean([naive(logits[row].tolist(), row, *told, 0.0) for row in (4, 1)])
    assert float(sum(got.values())) == pytest.approx(wanted, abs=1e-5)
    images[4] = logits[4]  # as it was, so that the other rows are taken as they were
    told = (images.tolist(), texts.tolist(), signs(images + texts).tolist(), sets, 0.7)
    alone = held(images, texts, hot, gamma=0.7, eta=0.3).turn("image", rows[:1], hot[rows[:1]], logits[rows[:1]])
    assert float(sum(alone.values())) == pytest.approx(naive(logits[4].tolist(), 4, *told, 0.3), abs=1e-5)


def test_swapping_the_modalities_leaves_the_objective():
    assert whole(held(G, F)) == pytest.approx(whole(held()), abs=1e-5)


def test_new_shared_codes_never_raise_the_objective():
    method = held(*(torch.randn(3, 6, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)))
    method.shared = signs(torch.randn(3, 6, generator=torch.Generator().manual_seed(3)))
    before = sum(whole(method))
    method.end_epoch(0, None)
    assert sum(whole(method)) < before


def test_the_balance_follows_what_steps_write():
    method = held()
    fresh = torch.tensor([[2.0, 1.0]])
    for _ in range(2):  # the second turn must not count the row twice
        terms = method.turn("image", ROWS[:1], LABELS[:1], fresh)
    assert torch.equal(method.images[0], fresh[0])
    assert float(terms["balance"]) == pytest.approx(float((fresh[0] + F[1] + F[2]).square().sum()) / 3, rel=1e-5)


def test_outputs_far_apart_do_not_overflow():
    terms = held(100 * F, 100 * G).turn("image", ROWS, LABELS, 100 * F)
    assert math.isfinite(float(terms["likelihood"]))


def test_a_pair_without_text_leaves_the_text_tower_alone():
    left, right = halves()[1][0][:40].copy(), halves()[1][1][:40].copy()
    right[3] = 0
    method = learn("dcmh", 8, left, halves()[1][2][:40], texts=right, epochs=2)
    assert not method.texts[3].any()
    assert torch.equal(method.shared[3], signs(method.images[3]))
    silent = batch_of(torch.tensor([1, 2]), torch.ones(2, 32), torch.tensor([3, 4]), texts=torch.zeros(2, 32))
    terms = method.step(silent, [Recorder(), Recorder()])
    assert {name.split()[0] for name in terms} == {"image"}


class Recorder:
    """An optimizer that does nothing."""

    def minimise(self, loss):
        assert torch.isfinite(loss)


def test_fewer_partners_give_the_same_loss_on_average():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    images, texts = (torch.randn(50, 6, generator=generator) for _ in range(2))
    labels = torch.arange(50) % 3
    rows = torch.arange(10)
    one = held(images, texts, labels).turn("image", rows, labels[rows], images[rows])["likelihood"]
    few = held(images, texts, labels, partners=20)
    drawn = [few.turn("image", rows, labels[rows], images[rows])["likelihood"] for _ in range(200)]
    assert float(torch.stack(drawn).mean()) == pytest.approx(float(one), rel=0.02)


def unbalance(method):
    return float((2 * (method.images >= 0).float().mean(0) - 1).abs().mean())


@pytest.mark.slow
def test_digits_labels_teach_weights_help_and_balance_balances():
    queries, database = halves()
    left, right, labels = database
    settings = {
        "paper": {"eta": 1.0},
        "weighted": {"weighted": True},
        "free": {"weighted": True, "eta": 0.0},
        "plain": {},
    }
    made = {
        name: learn("dcmh", 16, left, labels, texts=right, epochs=15, **params) for name, params in settings.items()
    }
    reached = {name: np.mean(both_ways(method, queries, database)) for name, method in made.items()}
    assert min(reached.values()) > 0.1 + 0.15
    assert reached["weighted"] > max(reached["free"], reached["plain"])
    assert unbalance(made["paper"]) < unbalance(made["weighted"]) < unbalance(made["plain"])


def test_resuming_gives_the_same_towers_and_memories(tmp_path):
    left, right, labels = (part[:90] for part in halves()[1])
    spec = Spec(8, 32, 90, SPACE, 32)
    again, whole_run = resumed_and_whole(
        "dcmh", spec, (left, labels, right), tmp_path, epochs=4, batch_size=30, at=7, partners=50
    )
    assert {"images", "texts", "shared"} < set(whole_run)
    assert all(torch.equal(again[key], whole_run[key]) for key in whole_run)


def test_data_without_text_and_values_out_of_range_are_refused():
    with pytest.raises(DataError, match="no text"):
        build_method("dcmh", Spec(8, 6, 80, SPACE))
    for params in ({"gamma": -1.0}, {"eta": -1.0}, {"partners": 0}, {"hidden": 0}):
        with pytest.raises(UsageError, match="need gamma"):
            build_method("dcmh", Spec(8, 6, 80, SPACE, 5), **params)


def test_the_balance_takes_the_other_rows_to_have_moved_as_those_of_the_batch():
    images, texts = torch.full((6, 2), 0.5), torch.zeros(6, 2)
    method = held(images, texts, torch.ones(6, 1), gamma=0.0, eta=1.0)
    rows, logits = torch.tensor([0, 1]), torch.tensor([[0.5, -0.5], [0.5, -0.5]], requires_grad=True)
    balance = method.turn("image", rows, torch.ones(2, 1), logits)["balance"]
    assert float(balance.detach()) == pytest.approx((3.0**2 + 3.0**2) / 12)  # second bit: all six at -0.5
    balance.backward()
    assert (logits.grad[:, 0] > 0).all()
    assert (logits.grad[:, 1] < 0).all()  # by the rows as written the sum were still +1
    assert method.images[:, 1].tolist() == [-0.5, -0.5, 0.5, 0.5, 0.5, 0.5]
