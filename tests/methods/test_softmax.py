"""The baselines from labels: cross-entropy in plain loops, quantization, sets of labels, digits."""

import math

import pytest
import torch
from digits import batch_of, learn, score, split

from kinbits import UsageError
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method
from kinbits.training import FeatureSet

NAMES = ("softmax", "softmax-quantization")
SETS = torch.tensor([[1, 0, 1], [0, 0, 1], [0, 0, 0], [1, 1, 1]]).float()
SINGLE = torch.tensor([0, 2, -1, 1])


def make(name="softmax", multi=False, **params):
    torch.manual_seed(0)
    return build_method(name, Spec(6, 3, 10, LabelSpace(tuple("abc"), multi=multi)), **params)


def naive(method, logits, sets, multi):
    """Labels are sets of numbers; an empty set is an unlabelled row."""
    weights, bias = method.classifier.weight.tolist(), method.classifier.bias.tolist()
    total = 0.0
    for row, wanted in zip(logits.tolist(), sets, strict=True):
        relaxed = [math.tanh(v) for v in row]
        scores = [sum(w * u for w, u in zip(ws, relaxed, strict=True)) + c for ws, c in zip(weights, bias, strict=True)]
        if multi and wanted:
            total += sum(math.log(1 + math.exp(-s if c in wanted else s)) for c, s in enumerate(scores))
        elif wanted:
            total += math.log(sum(map(math.exp, scores))) - scores[next(iter(wanted))]
    return total / sum(map(bool, sets))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("labels", "sets"),
    [(SINGLE, [{0}, {2}, set(), {1}]), (SETS, [{0, 2}, {2}, set(), {0, 1, 2}])],
    ids=["one label", "sets of labels"],
)
def test_the_classification_is_the_equation(name, labels, sets):
    method, logits = make(name, labels.ndim == 2), 2 * torch.randn(4, 6)
    found = method.loss(batch_of(labels), logits)["classification"].detach()
    assert float(found) == pytest.approx(naive(method, logits, sets, labels.ndim == 2), abs=1e-5)


def test_softmax_has_one_term():
    assert list(make().loss(batch_of(SINGLE), torch.zeros(4, 6))) == ["classification"]


def test_the_quantization_is_the_mean_square_from_the_nearest_sign():
    logits = torch.tensor([[1.0, -1, 0.5, -0.5, 3, 0]]).expand(4, 6)
    found = make("softmax-quantization", quantization=0.5).loss(batch_of(SINGLE), logits)["quantization"]
    assert float(found) == pytest.approx(0.5 * (0.25 + 0.25 + 4 + 1) / 6)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_labels_is_finite(name):
    logits = torch.randn(3, 6, requires_grad=True)
    terms = make(name).loss(batch_of(torch.full((3,), -1)), logits)
    sum(terms.values()).backward()
    assert float(terms["classification"].detach()) == 0
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_classifier_of_label_sets_starts_from_how_often_a_label_occurs(name):
    method, single = make(name, multi=True), make(name)
    method.prepare(FeatureSet(torch.zeros(4, 3).numpy(), SETS.numpy()))
    assert method.classifier.bias.detach().sigmoid().tolist() == pytest.approx([3 / 5, 2 / 5, 4 / 5])
    before = single.classifier.bias.clone()
    single.prepare(FeatureSet(torch.zeros(4, 3).numpy(), SINGLE.numpy()))
    assert torch.equal(single.classifier.bias, before)


def test_a_negative_weight_is_refused():
    with pytest.raises(UsageError, match="must not be negative"):
        make("softmax-quantization", quantization=-0.1)


@pytest.mark.parametrize("name", NAMES)
def test_digits_on_frozen_pixels_beat_itq(name):
    queries, train, database = split()
    method = learn(name, 16, *train, epochs=20)
    assert score(method, queries, database) > score(learn("itq", 16, train[0]), queries, database) + 0.05
