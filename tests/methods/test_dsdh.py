"""DSDH: the sheet's numbers, the likelihood in plain loops, steps that never raise the objective, digits."""

import itertools
import math

import numpy as np
import pytest
import torch
from digits import batch_of, deep_score, learn, learn_deep, resumed_and_whole, score, split

from kinbits import DataError, UsageError
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method
from kinbits.training import FeatureSet

U = torch.tensor([[0.8, -0.6, 1.2, -0.4], [0.5, -0.9, 0.7, 0.3], [-1.1, 0.4, -0.2, 0.9]])
LABELS = torch.tensor([0, 0, 1])


def started(labels, outputs, classes=3, **params):
    """Return a method with these recorded outputs and codes of their signs, in its first epoch."""
    space = LabelSpace(tuple(map(str, range(classes))), multi=labels.ndim == 2)
    method = build_method("dsdh", Spec(outputs.shape[1], 3, len(labels), space), **params)
    method.recorded.copy_(outputs)
    method.codes.copy_(torch.where(outputs >= 0, 1, -1))
    data = FeatureSet(np.zeros((len(labels), 3), np.float32), labels.numpy())
    method.start_epoch(0, data)
    return method, data


def one_hot(labels, classes):
    if labels.ndim == 2:
        return labels / labels.sum(1, keepdim=True).clamp_min(1)
    return torch.nn.functional.one_hot(labels.clamp_min(0), classes) * (labels >= 0)[:, None]


def discrete_terms(D, W, Y, outputs, mu, nu, eta):
    """The part of J that codes D (n, K) and the classifier W (K, C) change."""
    return float(mu * (Y - D @ W).square().sum() + nu * W.square().sum() + eta * (D - outputs).square().sum())


def random_case(multi, n=12, bits=5):
    generator = torch.Generator().manual_seed(2)
    labels = torch.randint(0, 3, (n,), generator=generator)
    if multi:
        labels = (torch.rand(n, 3, generator=generator) < 0.5).float()
        labels[:, 0] = 1
    return labels, torch.randn(n, bits, generator=generator)


def test_worked_classifier_and_codes():
    method, _ = started(LABELS, U, classes=2, mu=1.0, nu=1.0, eta=1.0)
    wanted = [[0.216216, -0.081081], [-0.216216, 0.081081], [0.216216, -0.081081], [0.162162, 0.189189]]
    Y = one_hot(LABELS, 2).float()
    signs = torch.where(U >= 0, 1.0, -1.0)
    W = torch.tensor(wanted)
    assert discrete_terms(-signs, W, Y, U, 1, 1, 1) == pytest.approx(42.6492, abs=1e-3)
    assert method._ridge(LABELS).tolist() == [pytest.approx(row, abs=1e-6) for row in wanted]


def test_worked_sweep_reaches_the_optimum_of_all_codes(monkeypatch):
    method, data = started(LABELS, U, classes=2, mu=1.0, nu=1.0, eta=1.0)
    W, Y = method._ridge(LABELS), one_hot(LABELS, 2).float()
    method.codes.neg_()
    monkeypatch.setattr(method, "_ridge", lambda labels: W)
    method.end_epoch(0, data)
    reached = discrete_terms(method.codes.float(), W, Y, U, 1, 1, 1)
    assert reached == pytest.approx(3.73027, abs=1e-5)
    every = (torch.tensor(c).view(3, 4).float() for c in itertools.product((-1, 1), repeat=12))
    assert reached == pytest.approx(min(discrete_terms(c, W, Y, U, 1, 1, 1) for c in every), abs=1e-5)


def test_worked_likelihood():
    for self_pairs, wanted in ((True, 0.372715), (False, 0.410606)):
        method, _ = started(LABELS, U, classes=2, eta=0.1, self_pairs=self_pairs)
        terms = method.loss(batch_of(LABELS), U)
        assert float(terms["likelihood"]) == pytest.approx(wanted, abs=1e-6)
        assert float(terms["quantization"]) == pytest.approx(0.1 * 0.205, abs=1e-6)


@pytest.mark.parametrize("multi", [False, True])
def test_the_likelihood_is_the_equation(multi):
    labels, outputs = random_case(multi)
    labels[3] = 0 if multi else -1
    sets = [set(row.nonzero().flatten().tolist()) if multi else {int(row)} - {-1} for row in labels]
    method, _ = started(labels, outputs)
    rows, logits = torch.tensor([2, 3, 7]), torch.randn(3, 5, generator=torch.Generator().manual_seed(4))
    recorded = outputs.clone()
    recorded[rows] = logits
    total, pairs = 0.0, 0
    for (i, u), (j, v) in itertools.product(
        zip(rows.tolist(), logits.tolist(), strict=True), enumerate(recorded.tolist())
    ):
        if i != j and sets[i] and sets[j]:
            theta = sum(a * b for a, b in zip(u, v, strict=True)) / 2
            total += math.log(1 + math.exp(theta)) - bool(sets[i] & sets[j]) * theta
            pairs += 1
    terms = method.loss(batch_of(labels[rows], rows=rows), logits)
    assert float(terms["likelihood"]) == pytest.approx(total / pairs, rel=1e-5)


@pytest.mark.parametrize("multi", [False, True])
def test_neither_step_raises_the_objective(multi):
    labels, outputs = random_case(multi)
    method, data = started(labels, outputs, mu=0.7, nu=0.3, eta=0.2)
    method.codes.neg_()
    Y = one_hot(labels, 3).float()
    values = [discrete_terms(method.codes.float(), method.classifier, Y, outputs, 0.7, 0.3, 0.2)]
    for _ in range(4):
        before = method.codes.float()
        method.end_epoch(0, data)
        for D in (before, method.codes.float()):
            values.append(discrete_terms(D, method.classifier, Y, outputs, 0.7, 0.3, 0.2))
    assert all(b <= a + 1e-5 for a, b in itertools.pairwise(values))
    assert values[-1] < values[0]


def test_the_classifier_is_the_minimiser():
    labels, outputs = random_case(False)
    method, _ = started(labels, outputs, mu=0.7, nu=0.3)
    D, Y, W = method.codes.float(), one_hot(labels, 3).float(), method._ridge(labels).requires_grad_()
    (0.7 * (Y - D @ W).square().sum() + 0.3 * W.square().sum()).backward()
    assert W.grad.abs().max() < 1e-4


def test_unlabelled_rows_take_the_signs_of_the_network():
    labels, outputs = random_case(False)
    labels[3] = -1
    method, data = started(labels, outputs)
    method.codes.neg_()
    method.end_epoch(0, data)
    assert torch.equal(method.codes[3] > 0, outputs[3] >= 0)


def test_a_draw_of_partners_has_the_mean_of_all():
    labels, outputs = random_case(False, n=60)
    batch = batch_of(labels[:6])
    whole = float(started(labels, outputs)[0].loss(batch, outputs[:6])["likelihood"])
    method, _ = started(labels, outputs, partners=20)
    torch.manual_seed(0)
    drawn = [float(method.loss(batch, outputs[:6])["likelihood"]) for _ in range(300)]
    assert np.std(drawn) > 0
    assert np.mean(drawn) == pytest.approx(whole, rel=0.05)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [-1, -1, -1]])
def test_one_kind_of_pair_only_is_finite(labels):
    method, _ = started(torch.tensor(labels), U)
    logits = U.clone().requires_grad_()
    torch.stack(list(method.loss(batch_of(torch.tensor(labels)), logits).values())).sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_resuming_gives_the_same_codes(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    features = (np.eye(5)[labels] + rng.normal(size=(90, 5))).astype(np.float32)
    spec = Spec(8, 5, 90, LabelSpace(("a", "b", "c")))
    again, whole = resumed_and_whole(
        "dsdh", spec, (features, labels), tmp_path, epochs=4, batch_size=16, at=15, partners=30
    )
    assert again.keys() == whole.keys()
    assert all(torch.equal(again[key], whole[key]) for key in whole)


@pytest.mark.parametrize("params", [{"mu": 0.0}, {"nu": 0.0}, {"eta": -1.0}, {"sweeps": 0}, {"partners": 0}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match="need"):
        build_method("dsdh", Spec(8, 3, 10, LabelSpace(("a", "b"))), **params)


def test_a_set_without_labels_is_refused():
    method = build_method("dsdh", Spec(8, 3, 10, LabelSpace(("a", "b"))))
    with pytest.raises(DataError, match="no training row"):
        method.prepare(FeatureSet(np.zeros((10, 3), np.float32), np.full(10, -1)))
    with pytest.raises(UsageError, match="start_epoch"):
        method.loss(batch_of(LABELS), torch.zeros(3, 8))


def test_digits_need_the_distance_to_the_discrete_codes():
    queries, train, database = split()
    reached, apart = {}, {}
    for eta in (0.1, 0.0):
        method, network = learn_deep("dsdh", 16, *train, epochs=20, eta=eta)
        reached[eta] = deep_score(method, network, queries, database)
        apart[eta] = float((method.recorded.abs() - 1).square().mean())
    assert reached[0.1] > 0.93
    assert reached[0.1] > reached[0.0]
    assert apart[0.1] < apart[0.0]


def test_digits_on_frozen_pixels_beats_itq():
    queries, train, database = split()
    method = learn("dsdh", 16, *train, epochs=20)
    assert score(method, queries, database) > score(learn("itq", 16, train[0]), queries, database) + 0.1
