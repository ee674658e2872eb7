"""GreedyHash: the sheet's numbers, the gradient through the sign, and digits."""

import math

import pytest
import torch
from digits import batch_of, deep_score, learn, learn_deep, score, split
from pair_cases import U, Y

from kinbits import UsageError
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method

W = torch.tensor([[0.5, -0.2, 0.1, 0.3], [-0.4, 0.6, 0.2, -0.1]])


def make(multi=False, **params):
    method = build_method("greedyhash", Spec(4, 3, 10, LabelSpace(("a", "b"), multi=multi)), **params)
    method.classifier.weight.data = W.clone()
    return method


def terms_of(labels, logits, **params):
    return {name: term.detach() for name, term in make(**params).loss(batch_of(labels), logits).items()}


def test_worked_values():
    terms = terms_of(Y, U)
    assert float(terms["classes"]) == pytest.approx(0.217831, abs=1e-6)
    assert float(terms["penalty"]) == pytest.approx(0.1 * 0.126833, abs=1e-6)
    assert float(sum(terms.values())) == pytest.approx(0.230514, abs=1e-6)


def test_the_gradient_of_the_signs_reaches_the_logits_unchanged():
    logits, signs = U.clone().requires_grad_(), U.sign().requires_grad_()
    make().loss(batch_of(Y), logits)["classes"].backward()
    torch.nn.functional.cross_entropy(signs @ W.T, Y).backward()
    assert torch.equal(logits.grad, signs.grad)
    assert float(logits.grad.abs().min()) > 0


def test_only_the_signs_are_classified_and_zero_is_a_one():
    found = [float(terms_of(Y, u)["classes"]) for u in (U, 7 * U)]
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    zeros, ones = (terms_of(Y, torch.full((3, 4), v))["classes"] for v in (0.0, 1.0))
    assert float(zeros) == pytest.approx(float(ones), abs=1e-6)


def test_sets_of_labels_are_one_question_per_class():
    sets = torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    scores = (U.sign() @ W.T).tolist()
    each = [
        [math.log(1 + math.exp(-z if y else z)) for z, y in zip(row, wanted, strict=True)]
        for row, wanted in zip(scores, sets.tolist(), strict=True)
    ]
    wanted = (sum(each[0]) + sum(each[1])) / 4  # the third row has no label
    assert float(terms_of(sets, U, multi=True)["classes"]) == pytest.approx(wanted, abs=1e-6)


def test_rows_without_a_label_are_not_classified():
    terms = terms_of(torch.tensor([0, 0, 1, -1]), torch.cat([U, U[:1]]))
    assert float(terms["classes"]) == pytest.approx(0.217831, abs=1e-6)
    assert float(terms_of(torch.tensor([-1, -1, -1]), U)["classes"]) == 0


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_penalty_takes_the_exponent(power):
    wanted = sum(abs(abs(v) - 1) ** power for v in U.flatten().tolist()) / 12
    terms = terms_of(Y, U, alpha=1.0, power=power)
    assert float(terms["penalty"]) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("params", [{"alpha": -1.0}, {"power": 0.5}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match="power >= 1"):
        make(**params)


def test_digits_with_a_network():
    queries, train, database = split()
    method, network = learn_deep("greedyhash", 16, *train, epochs=15)
    assert deep_score(method, network, queries, database) > 0.93


def test_digits_on_frozen_pixels_beats_itq():
    queries, train, database = split()
    method = learn("greedyhash", 16, *train, epochs=100)
    assert score(method, queries, database) > score(learn("itq", 16, train[0]), queries, database) + 0.1


@pytest.mark.parametrize("head", ["linear", "linear-batchnorm"])
def test_the_head_is_the_one_that_was_asked_for(head):
    space = LabelSpace(tuple("ab"))
    assert build_method("greedyhash", Spec(8, 5, 7, space), head=head).head.config()["name"] == head
    assert build_method("dsdh", Spec(8, 5, 7, space), head=head).head.config()["name"] == head
