"""DSH: the sheet's numbers, the equation in plain loops, and digits."""

import math

import pytest
import torch
from digits import batch_of, deep_score, learn, learn_deep, score, split
from pair_cases import CASES, ONE_KIND, U, Y, mean_over_pairs, space_of

from kinbits import UsageError
from kinbits.methods import Spec, build_method


def make(bits=4, labels=Y, **params):
    return build_method("dsh", Spec(bits, 3, 10, space_of(labels)), **params)


@pytest.mark.parametrize(("self_pairs", "wanted"), [(True, 0.388889), (False, 0.583333)])
def test_worked_values(self_pairs, wanted):
    terms = make(margin=8.0, self_pairs=self_pairs).loss(batch_of(Y), U)
    assert float(terms["contrast"]) == pytest.approx(wanted, abs=1e-6)
    assert float(terms["quantization"]) == pytest.approx(0.01 * 4 * 0.383333, abs=1e-6)


def test_twice_the_bits_as_margin_is_the_loss_of_the_authors_code():
    assert float(sum(make(margin=8.0).loss(batch_of(Y), U).values())) == pytest.approx(0.598667, abs=1e-6)


def test_the_margin_is_the_number_of_bits_by_default():
    assert make(6).margin == make(6, margin=6.0).margin == 6


@pytest.mark.parametrize(("labels", "sets"), CASES)
def test_the_loss_is_the_equation(labels, sets):
    logits = torch.randn(len(labels), 6, generator=torch.Generator().manual_seed(1))

    def value(i, j, alike):
        apart = sum((a - b) ** 2 for a, b in zip(logits[i].tolist(), logits[j].tolist(), strict=True))
        return apart / 2 if alike else max(9.0 - apart, 0) / 2

    terms = make(6, labels, margin=9.0, alpha=0.3).loss(batch_of(labels), logits)
    assert float(terms["contrast"]) == pytest.approx(mean_over_pairs(sets, value), abs=1e-5)
    pull = sum(abs(abs(v) - 1) for v in logits.flatten().tolist()) / len(labels)
    assert float(terms["quantization"]) == pytest.approx(0.3 * pull, abs=1e-5)


@pytest.mark.parametrize("labels", ONE_KIND)
def test_a_batch_with_one_kind_of_pair_is_finite(labels):
    logits = U.clone().requires_grad_()
    loss = sum(make().loss(batch_of(torch.tensor(labels)), logits).values())
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert torch.isfinite(logits.grad).all()


def test_pairs_beyond_the_margin_are_left_alone():
    logits = torch.tensor([[1.0, 1, 1, 1], [-1, -1, -1, -1]], requires_grad=True)
    loss = make().loss(batch_of(torch.tensor([0, 1])), logits)["contrast"]
    loss.backward()
    assert float(logits.grad.abs().sum()) == 0


@pytest.mark.parametrize("params", [{"margin": -1.0}, {"alpha": -0.1}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match="need both >= 0"):
        make(**params)


def test_digits_with_a_network():
    queries, train, database = split()
    method, network = learn_deep("dsh", 16, *train, epochs=15)
    assert deep_score(method, network, queries, database) > 0.93


def test_digits_on_frozen_pixels_beats_itq():
    queries, train, database = split()
    method = learn("dsh", 16, *train, epochs=30)
    assert score(method, queries, database) > score(learn("itq", 16, train[0]), queries, database) + 0.1
