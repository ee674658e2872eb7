"""SSDH: the sheet's numbers, the three terms in plain loops, label sets, and digits."""

import math

import pytest
import torch
from digits import batch_of, deep_score, learn, learn_deep, score, split

from kinbits import UsageError
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method
from kinbits.methods.blocks import imbalance, label_cross_entropy, saturation
from kinbits.training import FeatureSet

A = torch.tensor([[0.9, 0.1, 0.8, 0.6], [0.2, 0.4, 0.7, 0.9]])
SCORES = torch.tensor([[1.0, 0.0], [0.5, 1.5]])


def make(classes="ab", bits=4, multi=False, **params):
    return build_method("ssdh", Spec(bits, 3, 10, LabelSpace(tuple(classes), multi=multi)), **params)


def test_worked_terms():
    assert float(saturation(A)) == pytest.approx(0.09, abs=1e-6)
    assert float(imbalance(A)) == pytest.approx(0.00625, abs=1e-6)
    assert float(label_cross_entropy(SCORES, torch.tensor([0, 1]))) == pytest.approx(0.313262, abs=1e-6)


@pytest.mark.parametrize(("weight", "wanted"), [(1.0, 0.229512), (0.5, 0.271387)])
def test_worked_sums(weight, wanted):
    method = make(beta=weight, gamma=weight)
    method.classifier.register_forward_hook(lambda *_: SCORES)
    terms = method.loss(batch_of(torch.tensor([0, 1])), torch.logit(A))
    assert float(sum(terms.values())) == pytest.approx(wanted, abs=1e-6)


def test_the_default_weights_are_those_of_the_released_layers():
    terms = make().loss(batch_of(torch.tensor([0, 1])), torch.logit(A))
    assert float(terms["quantization"]) == pytest.approx(-0.045, abs=1e-6)
    assert float(terms["balance"]) == pytest.approx(0.003125, abs=1e-6)


def test_binary_activations_are_as_far_from_the_middle_as_can_be():
    bits = torch.tensor([[1.0, 0, 1, 0], [0, 0, 1, 1]])
    assert float(saturation(bits)) == 0.25
    assert float(imbalance(bits)) == 0


def test_the_quantization_term_pushes_away_from_the_middle_and_is_flat_there():
    logits = torch.tensor([[0.3, -0.3, 0.0, 2.0]], requires_grad=True)
    make().loss(batch_of(torch.tensor([0])), logits)["quantization"].backward()
    slope = logits.grad[0]  # the optimizer goes against it
    assert slope[0] < 0 < slope[1]
    assert slope[2] == 0


def naive(activations, scores, sets, multi, beta, gamma):
    """Labels are sets of numbers; an empty set is an unlabelled row."""
    rows = [i for i in range(len(sets)) if sets[i]]
    total = 0.0
    for i in rows:
        a, s = activations[i].tolist(), scores[i].tolist()
        if multi:
            for c, value in enumerate(s):
                total += math.log(1 + math.exp(-value)) if c in sets[i] else math.log(1 + math.exp(value))
        else:
            total += math.log(sum(math.exp(value) for value in s)) - s[next(iter(sets[i]))]
        total -= beta * sum((value - 0.5) ** 2 for value in a) / len(a)
        total += gamma * (sum(a) / len(a) - 0.5) ** 2
    return total / len(rows)


@pytest.mark.parametrize(
    ("labels", "sets"),
    [
        (torch.tensor([0, 2, -1, 1]), [{0}, {2}, set(), {1}]),
        (torch.tensor([[1, 0, 1], [0, 0, 1], [0, 0, 0], [1, 1, 1]]).float(), [{0, 2}, {2}, set(), {0, 1, 2}]),
    ],
)
def test_the_loss_is_the_equation(labels, sets):
    torch.manual_seed(0)
    method = make("abc", bits=6, multi=labels.ndim == 2, beta=0.7, gamma=0.3)
    logits = torch.randn(4, 6)
    with torch.no_grad():
        terms = method.loss(batch_of(labels), logits)
        wanted = naive(logits.sigmoid(), method.classifier(logits.sigmoid()), sets, labels.ndim == 2, 0.7, 0.3)
    assert float(sum(terms.values())) == pytest.approx(wanted, abs=1e-5)


def test_a_batch_without_labels_is_finite():
    logits = torch.randn(3, 4, requires_grad=True)
    terms = make().loss(batch_of(torch.full((3,), -1)), logits)
    total = sum(terms.values())
    total.backward()
    assert float(total.detach()) == 0
    assert torch.isfinite(logits.grad).all()


def test_the_classifier_of_label_sets_starts_from_how_often_a_label_occurs():
    labels = torch.zeros(100, 3)
    labels[:50, 0] = labels[:2, 1] = 1
    method = make("abc", multi=True)
    method.prepare(FeatureSet(torch.zeros(100, 3).numpy(), labels.numpy()))
    often = method.classifier.bias.detach().sigmoid()
    assert often[1:].tolist() == pytest.approx([3 / 52, 1 / 52], abs=1e-5)
    assert often[0] == pytest.approx(51 / 52, abs=1e-5)  # of the 50 rows that have labels at all


@pytest.mark.parametrize("params", [{"beta": -0.1}, {"gamma": -1.0}])
def test_negative_weights_are_refused(params):
    with pytest.raises(UsageError, match="neither may be negative"):
        make(**params)


def from_the_middle(method, network, images):
    """Return mean |a - 1/2|."""
    with torch.no_grad():
        activations = torch.sigmoid(method.head(network(torch.from_numpy(images))))
    return float((activations - 0.5).abs().mean())


def test_without_its_terms_activations_stay_nearer_to_the_middle():
    queries, train, database = split()
    with_them, its_network = learn_deep("ssdh", 16, *train, epochs=15, seed=1)
    without, network = learn_deep("ssdh", 16, *train, epochs=15, seed=1, beta=0.0, gamma=0.0)
    assert deep_score(with_them, its_network, queries, database) > 0.85
    assert from_the_middle(with_them, its_network, train[0]) > from_the_middle(without, network, train[0]) + 0.01


def test_digits_on_frozen_pixels_beats_itq():
    queries, train, database = split()
    method = learn("ssdh", 16, *train, epochs=30)
    assert score(method, queries, database) > score(learn("itq", 16, train[0]), queries, database) + 0.03
