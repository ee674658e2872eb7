"""DCH: the sheet's numbers, the equation in plain loops, and digits."""

import math

import pytest
import torch
from digits import batch_of, deep_score, learn, learn_deep, score, split
from pair_cases import CASES, ONE_KIND, U, Y, dot, mean_over_pairs, space_of

from kinbits import UsageError
from kinbits.methods import Spec, build_method


def make(bits=4, labels=Y, **params):
    return build_method("dch", Spec(bits, 3, 10, space_of(labels)), **params)


@pytest.mark.parametrize(("gamma", "wanted"), [(20.0, 2.025748), (2.0, 0.676858)])
def test_worked_values(gamma, wanted):
    terms = make(tanh=False, gamma=gamma).loss(batch_of(Y), U)
    assert float(terms["likelihood"]) == pytest.approx(wanted, abs=1e-6)


def test_the_worked_quantization():
    terms = make(tanh=False, gamma=20.0, quantization=1.0).loss(batch_of(Y), U)
    assert float(terms["quantization"]) == pytest.approx(0.00863164, abs=1e-7)


def cosine_distance(one, two):
    return len(one) / 2 * (1 - dot(one, two) / math.sqrt(dot(one, one) * dot(two, two)))


def euclidean_distance(one, two):
    return sum((a - b) ** 2 for a, b in zip(one, two, strict=True)) / 4


@pytest.mark.parametrize(("labels", "sets"), CASES)
@pytest.mark.parametrize(("name", "distance"), [("cosine", cosine_distance), ("euclidean", euclidean_distance)])
def test_the_loss_is_minus_the_log_of_the_cauchy_probability(labels, sets, name, distance):
    logits = torch.randn(len(labels), 6, generator=torch.Generator().manual_seed(1))
    codes = torch.tanh(logits).tolist()

    def value(i, j, alike):
        probability = 3.0 / (3.0 + distance(codes[i], codes[j]))
        return -math.log(probability if alike else 1 - probability)

    terms = make(6, labels, gamma=3.0, quantization=0.4, distance=name).loss(batch_of(labels), logits)
    assert float(terms["likelihood"]) == pytest.approx(mean_over_pairs(sets, value, weighted=True), abs=1e-5)
    if name == "cosine":
        pull = [math.log(1 + distance([abs(v) for v in row], [1.0] * 6) / 3.0) for row in codes]
    else:
        pull = [sum((abs(v) - 1) ** 2 for v in row) / 6 for row in codes]
    assert float(terms["quantization"]) == pytest.approx(0.4 * sum(pull) / len(pull), abs=1e-5)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_on_signs_the_distance_is_that_of_the_codes(distance):
    signs = torch.where(torch.randn(5, 9, generator=torch.Generator().manual_seed(0)) >= 0, 1.0, -1.0)
    differing = (signs[:, None] != signs).sum(2).float()
    assert torch.allclose(make(9, distance=distance).apart(signs, signs), differing, atol=1e-4)


@pytest.mark.parametrize("labels", ONE_KIND)
@pytest.mark.parametrize("logits", [U, torch.zeros(3, 4), torch.ones(3, 4)])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_one_kind_of_pair_and_equal_codes_are_finite(labels, logits, distance):
    logits = logits.clone().requires_grad_()
    loss = sum(make(distance=distance).loss(batch_of(torch.tensor(labels)), logits).values())
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("params", [{"gamma": 0.0}, {"quantization": -1.0}, {"distance": "hamming"}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match=r"need gamma > 0|give one of cosine, euclidean"):
        make(**params)


def test_digits_with_a_network():
    queries, train, database = split()
    method, network = learn_deep("dch", 16, *train, epochs=15)
    assert deep_score(method, network, queries, database) > 0.93


def test_digits_on_frozen_pixels_beats_itq():
    queries, train, database = split()
    method = learn("dch", 16, *train, epochs=30)
    assert score(method, queries, database) > score(learn("itq", 16, train[0]), queries, database) + 0.1
