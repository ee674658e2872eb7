"""HashNet: the sheet's numbers, the equation in plain loops, the growing tanh, and digits."""

import math

import pytest
import torch
from digits import batch_of, deep_score, learn, learn_deep, score, split

from kinbits import UsageError
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method
from kinbits.methods.hashnet import balance

U = torch.tensor([[0.8, -0.6, 1.2, -0.4], [0.5, -0.9, 0.7, 0.3], [-1.1, 0.4, -0.2, 0.9]])
SPACE = LabelSpace(tuple("abcd"))


def make(bits=4, space=SPACE, **params):
    return build_method("hashnet", Spec(bits, 3, 10, space), **params)


@pytest.mark.parametrize(("alpha", "wanted"), [(0.1, 1.283693), (0.0, 0.184891)])
def test_worked_values(alpha, wanted):
    terms = make(alpha=alpha, self_pairs=True).loss(batch_of(torch.tensor([0, 0, 1])), U)
    assert float(terms["likelihood"]) == pytest.approx(wanted, abs=1e-6)


def naive(logits, labels, beta, alpha):
    """Labels are sets of numbers; an empty set is an unlabelled row."""
    rows = [i for i in range(len(logits)) if labels[i]]
    pairs = [(i, j) for i in rows for j in rows if i != j]
    alike = {(i, j): bool(labels[i] & labels[j]) for i, j in pairs}
    positives = sum(alike.values())
    total = 0.0
    for i, j in pairs:
        theta = alpha * sum(
            math.tanh(beta * a) * math.tanh(beta * b)
            for a, b in zip(logits[i].tolist(), logits[j].tolist(), strict=True)
        )
        weight = 1.0
        if 0 < positives < len(pairs):
            weight = len(pairs) / (positives if alike[i, j] else len(pairs) - positives)
        if alike[i, j]:
            weight *= len(labels[i] & labels[j]) / len(labels[i] | labels[j])
        total += weight * (math.log(1 + math.exp(theta)) - alike[i, j] * theta)
    return total / len(pairs)


@pytest.mark.parametrize(
    ("labels", "sets"),
    [
        (torch.tensor([0, 1, 0, 2, 1, -1, -1]), [{0}, {1}, {0}, {2}, {1}, set(), set()]),
        (
            torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0]]).float(),
            [{0, 1}, {1, 2}, {3}, set(), {0, 1, 2}],
        ),
    ],
)
def test_the_loss_is_the_equation(labels, sets):
    logits = torch.randn(len(labels), 6, generator=torch.Generator().manual_seed(1))
    method = make(6, LabelSpace(tuple("abcd"), multi=labels.ndim == 2), alpha=0.7)
    method.beta.fill_(1.3)
    wanted = naive(logits, sets, 1.3, 0.7)
    assert float(method.loss(batch_of(labels), logits)["likelihood"]) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [-1, -1, -1]])
def test_a_batch_with_one_kind_of_pair_is_finite(labels):
    logits = U.clone().requires_grad_()
    loss = make().loss(batch_of(torch.tensor(labels)), logits)["likelihood"]
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert torch.isfinite(logits.grad).all()


def test_rare_positives_weigh_as_much_as_all_others():
    same = torch.eye(10)
    weights = balance(same, torch.ones(10, 10))
    assert float((weights * same).sum()) == pytest.approx(float((weights * (1 - same)).sum()), rel=1e-5)


def test_very_unlike_codes_do_not_overflow():
    logits = 100 * torch.tensor([[1.0, 1, 1, 1], [-1, -1, -1, -1]])
    assert math.isfinite(float(make(alpha=1000.0).loss(batch_of(torch.tensor([0, 0])), logits)["likelihood"]))


def test_the_tanh_grows_with_the_epochs():
    method = make(grow=20.0)
    seen = []
    for epoch in (0, 20, 60):
        method.start_epoch(epoch, None)
        seen.append(float(method.beta))
    assert seen == pytest.approx([1.0, math.sqrt(2), 2.0])


@pytest.mark.parametrize("params", [{"alpha": -1.0}, {"grow": 0.0}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match="need alpha"):
        make(**params)


def test_digits_with_a_network():
    queries, train, database = split()
    method, network = learn_deep("hashnet", 16, *train, epochs=15)
    assert deep_score(method, network, queries, database) > 0.93


def test_digits_on_frozen_pixels_beats_itq():
    queries, train, database = split()
    method = learn("hashnet", 16, *train, epochs=30)
    assert score(method, queries, database) > score(learn("itq", 16, train[0]), queries, database) + 0.1
