"""DHN: the sheet's numbers, the equation in plain loops, and digits."""

import math

import pytest
import torch
from digits import batch_of, deep_score, learn, learn_deep, score, split
from pair_cases import CASES, ONE_KIND, U, Y, dot, mean_over_pairs, space_of

from kinbits import UsageError
from kinbits.methods import Spec, build_method
from kinbits.methods.dhn import log_cosh


def make(bits=4, labels=Y, **params):
    return build_method("dhn", Spec(bits, 3, 10, space_of(labels)), **params)


@pytest.mark.parametrize(("self_pairs", "wanted"), [(True, 0.372715), (False, 0.410606)])
def test_worked_values(self_pairs, wanted):
    terms = make(tanh=False, self_pairs=self_pairs).loss(batch_of(Y), U)
    assert float(terms["likelihood"]) == pytest.approx(wanted, abs=1e-6)
    assert float(terms["quantization"]) == pytest.approx(0.1 * 0.0962845, abs=1e-6)


def test_the_worked_sum():
    assert float(sum(make(tanh=False, self_pairs=True).loss(batch_of(Y), U).values())) == pytest.approx(
        0.382343, abs=1e-6
    )


@pytest.mark.parametrize(("labels", "sets"), CASES)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_the_equation(labels, sets, weighted):
    logits = torch.randn(len(labels), 6, generator=torch.Generator().manual_seed(1))
    squashed = torch.tanh(logits).tolist()

    def value(i, j, alike):
        theta = dot(squashed[i], squashed[j]) / 2
        return math.log(1 + math.exp(theta)) - alike * theta

    terms = make(6, labels, weighted=weighted, quantization=0.3).loss(batch_of(labels), logits)
    assert float(terms["likelihood"]) == pytest.approx(mean_over_pairs(sets, value, weighted=weighted), abs=1e-5)
    pull = [math.log(math.cosh(abs(v) - 1)) for row in squashed for v in row]
    assert float(terms["quantization"]) == pytest.approx(0.3 * sum(pull) / len(pull), abs=1e-5)


def test_log_cosh_does_not_overflow():
    found = log_cosh(torch.tensor([0.0, 1.0, -1.0, 80.0]))
    assert found.tolist() == pytest.approx([0, 0.433781, 0.433781, 80 - math.log(2)], abs=1e-5)


@pytest.mark.parametrize("labels", ONE_KIND)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_batch_with_one_kind_of_pair_is_finite(labels, weighted):
    logits = (100 * U).requires_grad_()
    loss = sum(make(weighted=weighted, tanh=False).loss(batch_of(torch.tensor(labels)), logits).values())
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert torch.isfinite(logits.grad).all()


def test_a_negative_weight_is_refused():
    with pytest.raises(UsageError, match="at least 0"):
        make(quantization=-1.0)


def test_digits_with_a_network():
    queries, train, database = split()
    method, network = learn_deep("dhn", 16, *train, epochs=15)
    assert deep_score(method, network, queries, database) > 0.93


def test_digits_on_frozen_pixels_beats_itq():
    queries, train, database = split()
    method = learn("dhn", 16, *train, epochs=30)
    assert score(method, queries, database) > score(learn("itq", 16, train[0]), queries, database) + 0.1
