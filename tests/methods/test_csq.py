"""CSQ: the sheet's numbers, the equation in plain loops, what centres do, and digits."""

import math

import numpy as np
import pytest
import torch
from digits import SPACE, batch_of, codes, deep_score, learn, learn_deep, resumed_and_whole, score, split

from kinbits import UsageError, hamming
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method

TWO = LabelSpace(("a", "b"))
U = torch.tensor([[0.5, -0.5, 0.9, 0.0]])


def small(space=TWO, bits=4, **params):
    method = build_method("csq", Spec(bits, 3, 10, space), **{"quantization": 0.05, **params})
    if space is TWO:
        method.centres.copy_(torch.tensor([[1.0, -1, 1, -1], [-1, -1, 1, 1]]))
    return method


@pytest.mark.parametrize(("quantizer", "apart"), [("square", 0.3775), ("log-cosh", 0.1697504)])
def test_worked_values(quantizer, apart):
    terms = small(quantizer=quantizer).loss(batch_of(torch.tensor([0])), torch.atanh(U))
    assert float(terms["centre"]) == pytest.approx(0.3299512, abs=1e-6)
    assert float(terms["quantization"]) == pytest.approx(0.05 * apart, abs=1e-6)


def test_the_total_is_the_published_form():
    terms = small().loss(batch_of(torch.tensor([0])), torch.atanh(U))
    assert float(sum(terms.values())) == pytest.approx(0.3488262, abs=1e-6)


def naive(logits, wanted, weight):
    """Use a row of zeros where an image has no label."""
    total, bits, counted = 0.0, logits.shape[1], 0
    for z, c in zip(logits.tolist(), wanted.tolist(), strict=True):
        if not any(c):
            continue
        counted += 1
        for value, bit in zip(z, c, strict=True):
            u = math.tanh(value)
            h, target = (u + 1) / 2, (bit + 1) / 2
            total -= (target * math.log(h) + (1 - target) * math.log(1 - h)) / bits
            total += weight * (abs(u) - 1) ** 2 / bits
    return total / counted


def vote(method, labels):
    """Return the majority of the centres of a list of sets, in plain loops."""
    rows = []
    for members in labels:
        sums = [sum(float(method.centres[j, k]) for j in members) for k in range(method.spec.bits)]
        rows.append([math.copysign(1, s) if s else float(method.tie[k]) for k, s in enumerate(sums)])
        if not members:
            rows[-1] = [0.0] * method.spec.bits
    return torch.tensor(rows)


@pytest.mark.parametrize(
    ("labels", "sets"),
    [
        (torch.tensor([0, 3, -1, 2]), [{0}, {3}, set(), {2}]),
        (
            torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]).float(),
            [{0, 1}, {1, 2, 3}, {3}, set()],
        ),
    ],
)
def test_the_loss_is_the_equation(labels, sets):
    method = small(LabelSpace(tuple("abcd"), multi=labels.ndim == 2), bits=13)
    logits = torch.randn(4, 13, generator=torch.Generator().manual_seed(1))
    terms = method.loss(batch_of(labels), logits)
    assert float(sum(terms.values())) == pytest.approx(naive(logits, vote(method, sets), 0.05), abs=1e-5)


def test_a_code_at_its_centre_costs_nothing_and_an_undecided_one_ln_2():
    method, label = small(), batch_of(torch.tensor([0]))
    assert float(sum(method.loss(label, 20 * method.centres[:1]).values())) < 1e-6
    assert float(method.loss(label, torch.zeros(1, 4))["centre"]) == pytest.approx(math.log(2), abs=1e-6)


def test_a_saturated_wrong_bit_is_still_corrected():
    logits = torch.tensor([[10.0, -10, 10, 10]], requires_grad=True)
    loss = small().loss(batch_of(torch.tensor([0])), logits)["centre"]
    loss.backward()
    assert float(loss.detach()) == pytest.approx(20 / 4, abs=1e-3)
    assert float(logits.grad[0, 3]) == pytest.approx(2 / 4, abs=1e-3)


def test_even_votes_fall_back_on_one_fixed_code():
    method = small(LabelSpace(tuple("ab"), multi=True), bits=8)
    method.centres.copy_(torch.tensor([[1.0, 1, 1, 1, 1, 1, 1, 1], [1, -1, 1, -1, 1, -1, 1, -1]]))
    both = method.centres_of(torch.tensor([[1.0, 1.0]] * 3))
    assert (both[:, ::2] == 1).all()
    assert (both[:, 1::2] == method.tie[1::2]).all()
    assert set(method.tie.tolist()) <= {-1.0, 1.0}


def test_three_labels_have_the_majority_of_their_centres():
    method = small(LabelSpace(tuple("abc"), multi=True), bits=8)
    rows = [[1, 1, 1, 1, 1, 1, 1, 1], [1, -1, 1, -1, 1, -1, 1, -1], [1, 1, -1, -1, 1, 1, -1, -1]]
    method.centres.copy_(torch.tensor(rows).float())
    assert method.centres_of(torch.ones(1, 3)).tolist() == [[1, 1, 1, -1, 1, 1, 1, -1]]


def test_a_batch_without_any_label_teaches_nothing_and_is_finite():
    logits = torch.randn(4, 4, requires_grad=True)
    loss = sum(small().loss(batch_of(torch.full((4,), -1)), logits).values())
    loss.backward()
    assert float(loss.detach()) == 0
    assert float(logits.grad.abs().sum()) == 0


@pytest.mark.parametrize(
    ("space", "params", "said"),
    [
        (TWO, {"quantization": -1.0}, "need >= 0"),
        (TWO, {"quantizer": "cube"}, "give one of square, log-cosh"),
        (TWO, {"centres": "hadamart"}, "give one of auto, hadamard"),
        (LabelSpace(("a",)), {}, "two or more"),
        (LabelSpace(tuple(f"c{i}" for i in range(17))), {}, "only 16 codes"),
    ],
)
def test_what_cannot_work_is_refused(space, params, said):
    with pytest.raises(UsageError, match=said):
        build_method("csq", Spec(4, 3, 10, space), **params)


def test_a_resumed_run_keeps_its_centres(tmp_path):
    _, train, _ = split()
    spec = Spec(12, 64, len(train[0]), SPACE)
    again, whole = resumed_and_whole("csq", spec, train, tmp_path, epochs=4, batch_size=100, at=25)
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def few():
    """Return the first 50 training digits of each class."""
    _, (images, labels), _ = split()
    rows = np.concatenate([np.flatnonzero(labels == c)[:50] for c in range(10)])
    return images[rows], labels[rows]


def test_classes_collapse_onto_their_centres():
    _, _, database = split()
    method, network = learn_deep("csq", 16, *few(), epochs=60, batch_size=64)
    found = codes(method.head, database[0], network)
    centres = hamming.pack(method.centres.numpy() > 0)
    within = []
    for label in range(10):
        own = found[database[1] == label]
        distances = hamming.distances(own, own)
        within.append(distances.sum() / (len(own) * (len(own) - 1)))
        assert np.array_equal(hamming.pack(hamming.unpack(own, 16).mean(0, keepdims=True) > 0.5)[0], centres[label])
    assert np.mean(within) < 1.5


def test_digits_on_frozen_pixels_beats_itq():
    queries, train, database = split()
    method = learn("csq", 16, *train, epochs=30)
    assert score(method, queries, database) > score(learn("itq", 16, train[0]), queries, database) + 0.1


def digits_map(epochs=60, **params):
    """Return mAP for three seeds with 500 training images."""
    queries, _, database = split()
    runs = (learn_deep("csq", 16, *few(), epochs=epochs, batch_size=64, seed=s, **params) for s in range(3))
    return np.array([deep_score(*run, queries, database) for run in runs])


@pytest.mark.slow
def test_hadamard_centres_find_more_than_coins():
    hadamard = digits_map()
    assert hadamard.mean() > digits_map(centres="bernoulli").mean()
    assert hadamard.mean() > 0.9


@pytest.mark.exhaustive
def test_a_heavy_quantization_term_does_not_help():
    assert digits_map(quantization=1.0).mean() < digits_map(quantization=1e-4).mean() + 0.01
