"""HashNet: the sheet's numbers, the equation in plain loops, the growing tanh, and digits."""

import math

import pytest
import torch
from digits import batch_of, deep_score, learn, learn_deep, score, split
from pair_cases import CASES, ONE_KIND, U, Y, dot, mean_over_pairs, space_of

from kinbits import UsageError
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method
from kinbits.methods.blocks import balanced_weights

SPACE = LabelSpace(tuple("abcd"))


def make(bits=4, space=SPACE, **params):
    return build_method("hashnet", Spec(bits, 3, 10, space), **params)


@pytest.mark.parametrize(("alpha", "wanted"), [(0.1, 1.283693), (0.0, 0.184891)])
def test_worked_values(alpha, wanted):
    terms = make(alpha=alpha, self_pairs=True).loss(batch_of(Y), U)
    assert float(terms["likelihood"]) == pytest.approx(wanted, abs=1e-6)


def naive(logits, sets, beta, alpha):
    squashed = torch.tanh(beta * logits).tolist()

    def value(i, j, alike):
        theta = alpha * dot(squashed[i], squashed[j])
        return math.log(1 + math.exp(theta)) - alike * theta

    return mean_over_pairs(sets, value, weighted=True)


@pytest.mark.parametrize(("labels", "sets"), CASES)
def test_the_loss_is_the_equation(labels, sets):
    logits = torch.randn(len(labels), 6, generator=torch.Generator().manual_seed(1))
    method = make(6, space_of(labels), alpha=0.7)
    method.beta.fill_(1.3)
    wanted = naive(logits, sets, 1.3, 0.7)
    assert float(method.loss(batch_of(labels), logits)["likelihood"]) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("labels", ONE_KIND)
def test_a_batch_with_one_kind_of_pair_is_finite(labels):
    logits = U.clone().requires_grad_()
    loss = make().loss(batch_of(torch.tensor(labels)), logits)["likelihood"]
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert torch.isfinite(logits.grad).all()


def test_rare_positives_weigh_as_much_as_all_others():
    same = torch.eye(10)
    weights = balanced_weights(same, torch.ones(10, 10))
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
    method, network = learn_deep("hashnet", 16, *train, epochs=20)
    assert deep_score(method, network, queries, database) > 0.93


def test_digits_on_frozen_pixels_beats_itq():
    queries, train, database = split()
    method = learn("hashnet", 16, *train, epochs=30)
    assert score(method, queries, database) > score(learn("itq", 16, train[0]), queries, database) + 0.1
