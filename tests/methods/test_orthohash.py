"""OrthoHash: the sheet's numbers, the equation in plain loops, and what it reaches on digits."""

import math

import numpy as np
import pytest
import torch
from digits import SPACE, batch_of, deep_score, learn, learn_deep, score, split

from kinbits import UsageError
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method

TWO = LabelSpace(("a", "b"))
V = torch.tensor([[2.0, 1.0, 0.0, 1.0]])


def small(space=TWO, **params):
    method = build_method("orthohash", Spec(4, 3, 10, space), **{"scale": 2.0, **params})
    method.targets.copy_(torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1]]))
    return method


@pytest.mark.parametrize(
    ("params", "wanted"),
    [({"margin": 0.2}, 0.255742), ({"margin": 0.0}, 0.178434), ({"margin": 0.2, "angular": True}, 0.226213)],
)
def test_worked_values(params, wanted):
    terms = small(**params).loss(batch_of(torch.tensor([0])), V)
    assert float(terms["softmax"]) == pytest.approx(wanted, abs=1e-6)


def test_worked_value_for_two_labels():
    method = small(LabelSpace(("a", "b"), multi=True), margin=0.2)
    terms = method.loss(batch_of(torch.tensor([[1.0, 1.0]])), V)
    assert float(terms["softmax"]) == pytest.approx(0.994931, abs=1e-6)


@pytest.mark.parametrize(("bits", "floor"), [(64, 0.0148433), (16, 0.3125160)])
def test_the_loss_at_the_target_is_the_known_floor(bits, floor):
    method = build_method("orthohash", Spec(bits, 3, 10, SPACE), scale=math.sqrt(bits), targets="hadamard")
    labels = torch.arange(10)
    terms = method.loss(batch_of(labels), method.targets[labels])
    assert float(terms["softmax"]) == pytest.approx(floor, abs=1e-6)


def naive(logits, labels, targets, scale, margin):
    total, counted = 0.0, 0
    for v, y in zip(logits.tolist(), labels.tolist(), strict=True):
        if not any(y):
            continue
        counted += 1
        cosines = [
            sum(a * b for a, b in zip(v, o, strict=True)) / math.hypot(*v) / math.hypot(*o) for o in targets.tolist()
        ]
        z = [scale * (c - margin * (label > 0)) for c, label in zip(cosines, y, strict=True)]
        log_sum = math.log(sum(math.exp(value) for value in z))
        total += sum(-label / sum(y) * (value - log_sum) for label, value in zip(y, z, strict=True))
    return total / counted


@pytest.mark.parametrize("multi", [False, True])
def test_the_loss_is_the_equation(multi):
    generator = torch.Generator().manual_seed(0)
    space = LabelSpace(tuple("abcde"), multi=multi)
    method = build_method("orthohash", Spec(13, 3, 10, space), scale=3.0, margin=0.1)
    logits = torch.randn(8, 13, generator=generator)
    single = torch.randint(0, 5, (8,), generator=generator)
    sets = torch.nn.functional.one_hot(single, 5).float()
    if multi:
        sets = ((sets + (torch.rand(8, 5, generator=generator) < 0.3)) > 0).float()
    sets[3] = 0
    single[3] = -1
    terms = method.loss(batch_of(sets if multi else single), logits)
    wanted = naive(logits, sets, method.targets, 3.0, 0.1)
    assert float(terms["softmax"]) == pytest.approx(wanted, abs=1e-5)


def test_only_the_direction_of_a_code_counts():
    method, labels = small(), torch.tensor([0])
    one, other = (float(method.loss(batch_of(labels), factor * V)["softmax"]) for factor in (1.0, 7.0))
    assert one == pytest.approx(other, abs=1e-6)
    assert math.isfinite(float(method.loss(batch_of(labels), 0 * V)["softmax"]))


def test_the_quantization_term_is_one_minus_the_cosine_to_the_signs():
    v = torch.tensor([[0.5, -2.0, 1.0, 0.1]])
    terms = small(quantization=1.0).loss(batch_of(torch.tensor([0])), v)
    unit = v / v.norm() * 2
    apart = float((unit - unit.sign()).square().sum())
    assert apart == pytest.approx(1.72130, abs=1e-5)
    assert float(terms["quantization"]) == pytest.approx(apart / 8, abs=1e-6)


def test_a_batch_without_any_label_teaches_nothing_and_is_finite():
    logits = torch.randn(4, 4, requires_grad=True)
    loss = small().loss(batch_of(torch.full((4,), -1)), logits)["softmax"]
    loss.backward()
    assert float(loss.detach()) == 0
    assert float(logits.grad.abs().sum()) == 0


@pytest.mark.parametrize("params", [{"scale": -1.0}, {"margin": 2.0}, {"margin": -0.1}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match="margin"):
        build_method("orthohash", Spec(16, 3, 10, TWO), **params)


def test_digits_with_a_network():
    queries, train, database = split()
    method, network = learn_deep("orthohash", 16, *train, epochs=15)
    assert deep_score(method, network, queries, database) > 0.93


def test_digits_on_frozen_pixels_beats_itq():
    queries, train, database = split()
    method = learn("orthohash", 16, *train, epochs=20)
    assert score(method, queries, database) > score(learn("itq", 16, train[0]), queries, database) + 0.1


def test_recentring_the_batch_normalisation_undoes_a_constant_shift():
    queries, train, database = split()
    method = learn("orthohash", 16, *train, epochs=20)
    still = score(method, queries, database)
    queries, database = ((x + np.float32(0.2), y) for x, y in (queries, database))
    assert score(method, queries, database) < still - 0.05
    linear, normal = method.head.layers
    with torch.no_grad():
        inputs = (torch.from_numpy(database[0]) - method.head.centre) * method.head.scale
        normal.running_mean.copy_(linear(inputs).mean(0))
    assert score(method, queries, database) > still - 0.02
