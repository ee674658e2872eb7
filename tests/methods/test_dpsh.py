"""DPSH: the sheet's numbers, the equation in plain loops, the memory of codes, and digits."""

import math

import numpy as np
import pytest
import torch
from digits import SPACE, batch_of, deep_score, learn, learn_deep, resumed_and_whole, score, split
from pair_cases import CASES, ONE_KIND, U, Y, dot, mean_over_pairs, space_of

from kinbits import DataError, UsageError
from kinbits.methods import Spec, build_method
from kinbits.training import FeatureSet


def ready(labels=Y, bits=4, **params):
    """Return a method at the start of an epoch over these labels."""
    method = build_method("dpsh", Spec(bits, 3, len(labels), space_of(labels)), **params)
    method.start_epoch(0, FeatureSet(np.zeros((len(labels), 3), np.float32), labels.numpy()))
    return method


@pytest.mark.parametrize(("self_pairs", "wanted"), [(True, 0.372715), (False, 0.410606)])
def test_worked_values(self_pairs, wanted):
    terms = ready(self_pairs=self_pairs).loss(batch_of(Y), U)
    assert float(terms["likelihood"]) == pytest.approx(wanted, abs=1e-6)
    assert float(terms["quantization"]) == pytest.approx(0.1 * 0.205, abs=1e-6)


def test_the_worked_sum():
    assert float(sum(ready(self_pairs=True).loss(batch_of(Y), U).values())) == pytest.approx(0.393215, abs=1e-6)


@pytest.mark.parametrize(("labels", "sets"), CASES)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_over_all_rows_is_the_equation(labels, sets, weighted):
    logits = torch.randn(len(labels), 6, generator=torch.Generator().manual_seed(1))
    codes = logits.tolist()

    def value(i, j, alike):
        theta = dot(codes[i], codes[j]) / 2
        return math.log(1 + math.exp(theta)) - alike * theta

    terms = ready(labels, 6, weighted=weighted).loss(batch_of(labels), logits)
    assert float(terms["likelihood"]) == pytest.approx(mean_over_pairs(sets, value, weighted=weighted), abs=1e-5)


def test_a_batch_meets_the_remembered_codes_of_the_other_rows():
    method, rows = ready(self_pairs=True), torch.tensor([1])
    method.latest.copy_(torch.tensor([[2.0, 0, 0, 0], [9, 9, 9, 9], [0, -2, 0, 0]]))
    found = float(method.loss(batch_of(Y[rows], rows=rows), U[rows])["likelihood"])
    thetas = [(0.5, 1), (dot(U[1].tolist(), U[1].tolist()) / 2, 1), (0.9, 0)]
    assert found == pytest.approx(sum(math.log(1 + math.exp(t)) - s * t for t, s in thetas) / 3, abs=1e-6)
    assert torch.equal(method.latest[1], U[1])


def test_no_gradient_goes_into_the_memory():
    logits = U.clone().requires_grad_()
    method = ready(eta=0.0)
    method.loss(batch_of(Y), logits)["likelihood"].backward()
    theta = U @ U.T / 2
    slope = (torch.sigmoid(theta) - (Y[:, None] == Y).float()) * (1 - torch.eye(3)) / 6
    assert torch.allclose(logits.grad, slope @ U / 2, atol=1e-6)


def test_drawn_partners_give_the_mean_over_all_in_expectation():
    labels = torch.arange(60) % 4
    everyone, few = ready(labels), ready(labels, partners=7)
    memory = torch.randn(60, 4, generator=torch.Generator().manual_seed(2))
    rows = torch.arange(5)
    for method in (everyone, few):
        method.latest.copy_(memory)
    torch.manual_seed(0)
    batch = batch_of(labels[rows], rows=rows)
    wanted = float(everyone.loss(batch, memory[rows])["likelihood"])
    drawn = [float(few.loss(batch, memory[rows])["likelihood"]) for _ in range(2000)]
    assert len(set(drawn)) > 100
    assert np.mean(drawn) == pytest.approx(wanted, abs=4 * np.std(drawn) / math.sqrt(2000))


def test_the_memory_starts_from_the_untrained_network():
    features = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    method = build_method("dpsh", Spec(4, 3, 9, SPACE))
    train = FeatureSet(features, np.arange(9))
    method.prepare(train)
    assert torch.equal(method.latest, method.outputs(train))


@pytest.mark.parametrize("labels", ONE_KIND)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_batch_with_one_kind_of_pair_is_finite(labels, weighted):
    logits = (100 * U).requires_grad_()
    labels = torch.tensor(labels)
    loss = sum(ready(labels, weighted=weighted).loss(batch_of(labels), logits).values())
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert torch.isfinite(logits.grad).all()


def test_resuming_gives_the_same_memory(tmp_path):
    x, y = (part[:120] for part in split()[1])
    spec = Spec(9, 64, 120, SPACE)
    again, whole = resumed_and_whole("dpsh", spec, (x, y), tmp_path, epochs=4, batch_size=32, at=10, partners=50)
    assert float(whole["latest"].abs().sum()) > 0
    assert all(torch.equal(again[key], whole[key]) for key in whole)


@pytest.mark.parametrize("params", [{"eta": -1.0}, {"partners": 0}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match="partners >= 1"):
        ready(**params)


def test_a_set_of_another_size_or_without_labels_is_refused():
    method = build_method("dpsh", Spec(4, 3, 3, SPACE))
    for data in (FeatureSet(np.zeros((9, 3), np.float32), np.zeros(9, int)), FeatureSet(np.zeros((3, 3), np.float32))):
        with pytest.raises(DataError, match="3 labelled rows"):
            method.start_epoch(0, data)
    with pytest.raises(UsageError, match="call start_epoch first"):
        method.loss(batch_of(Y), U)


def test_digits_with_a_network():
    queries, train, database = split()
    method, network = learn_deep("dpsh", 16, *train, epochs=10)
    assert deep_score(method, network, queries, database) > 0.93


def test_digits_on_frozen_pixels_beats_itq():
    queries, train, database = split()
    method = learn("dpsh", 16, *train, epochs=15)
    assert score(method, queries, database) > score(learn("itq", 16, train[0]), queries, database) + 0.1
