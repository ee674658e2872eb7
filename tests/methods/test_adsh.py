"""ADSH: the sheet's tiny case, the objective in plain loops, discrete sweeps, resuming inside a round, digits."""

import itertools

import numpy as np
import pytest
import torch
from digits import batch_of, codes, deep_score, learn_deep, map_all, resumed_and_whole, score, split
from digits import learn as learn_frozen

from kinbits import DataError, UsageError, hamming
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method
from kinbits.training import FeatureSet

TINY = torch.tensor([[0.8, -0.6], [-0.2, 0.9]])


class AnyBits(Spec):
    """A task whose codes may be as short as the sheet's example."""

    def __post_init__(self):
        pass


class Chosen:
    """Draws what it was told."""

    def __init__(self, rows):
        self.rows = rows

    def choice(self, rows, size, replace):
        assert size == len(self.rows)
        return np.array(self.rows)


def started(labels, rows, V, gamma=2.0, multi=False, **params):
    """Return a method in its first round with the given queries and codes, and its training set."""
    classes = labels.shape[1] if multi else int(labels.max()) + 1
    space = LabelSpace(tuple(map(str, range(classes))), multi=multi)
    spec = AnyBits(V.shape[1], 3, len(labels), space)
    method = build_method("adsh", spec, gamma=gamma, samples=len(rows), inner=1, **params)
    method.database.copy_(V)
    data = FeatureSet(np.zeros((len(labels), 3), np.float32), labels.numpy())
    data.rng = Chosen(rows)
    assert method.epoch_rows(0, data).tolist() == sorted(rows)
    method.start_epoch(0, data)
    return method, data


def objective(U, V, labels, rows, gamma, soft=True):
    """J of the sheet, pair by pair; labels are sets, an empty set is an unlabelled row."""
    pairs = [(i, j) for i in rows for j in range(len(V)) if labels[j]]
    alike = {(i, j): bool(labels[i] & labels[j]) for i, j in pairs}
    other = len(pairs) - sum(alike.values())
    r = sum(alike.values()) / other if soft and other else 1.0
    total = 0.0
    for (i, j), u in itertools.product(pairs, [dict(zip(rows, U.tolist(), strict=True))]):
        inner = sum(a * b for a, b in zip(u[i], V[j].tolist(), strict=True))
        total += (inner - V.shape[1] * (1.0 if alike[i, j] else -r)) ** 2
    for i, u in zip(rows, U.tolist(), strict=True):
        total += gamma * sum((a - b) ** 2 for a, b in zip(u, V[i].tolist(), strict=True))
    return total


def random_case(multi=False, n=14, m=6, bits=5):
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 3, (n,), generator=generator)
    labels[4] = -1
    sets = [{c} if c >= 0 else set() for c in labels.tolist()]
    if multi:
        labels = (torch.rand(n, 3, generator=generator) < 0.4).float()
        labels[:m, 0] = 1
        labels[n - 2] = 0
        sets = [set(row.nonzero().flatten().tolist()) for row in labels]
    rows = [i for i in range(n) if sets[i]][:m]
    V = torch.randint(0, 2, (n, bits), generator=generator) * 2 - 1
    logits = torch.randn(m, bits, generator=generator)
    return labels, sets, rows, V, logits


def test_the_tiny_case():
    V = torch.tensor([[1, 1], [1, -1], [-1, 1]])
    labels = torch.tensor([0, 0, 1])
    method, data = started(labels, [0, 2], V)
    assert float(method.ratio) == 1
    terms = method.loss(batch_of(labels[[0, 2]], rows=torch.tensor([0, 2])), torch.atanh(TINY))
    assert float(terms["fit"]) * 6 == pytest.approx(12.87, abs=1e-4)
    assert float(terms["quantization"]) * 6 == pytest.approx(2 * 3.25, abs=1e-4)
    assert float(sum(terms.values())) == pytest.approx(3.228333, abs=1e-6)
    method.end_epoch(0, data)
    assert method.database.tolist() == [[1, -1], [1, -1], [-1, 1]]
    assert objective(TINY, method.database, [{0}, {0}, {1}], [0, 2], 2.0) == pytest.approx(5.21, abs=1e-4)


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("multi", [False, True])
def test_the_loss_is_the_objective(multi, soft):
    labels, sets, rows, V, logits = random_case(multi)
    method, _ = started(labels, rows, V, gamma=7.0, multi=multi, soft=soft)
    terms = method.loss(batch_of(labels[rows], rows=torch.tensor(rows)), logits)
    wanted = objective(torch.tanh(logits), V, sets, rows, 7.0, soft)
    known = sum(bool(s) for s in sets)
    assert float(sum(terms.values())) * known * len(rows) == pytest.approx(wanted, rel=1e-5)


def test_the_gradient_is_the_closed_form():
    labels, sets, rows, V, logits = random_case()
    method, _ = started(labels, rows, V)
    logits.requires_grad_()
    torch.stack(list(method.loss(batch_of(labels[rows], rows=torch.tensor(rows)), logits).values())).sum().backward()
    known = torch.tensor([bool(s) for s in sets])
    u, v = torch.tanh(logits.detach()), V[known].float()
    same = torch.tensor([[bool(sets[i] & s) for s in sets if s] for i in rows])
    S = torch.where(same, 1.0, -same.sum() / (~same).sum())
    pull = 2 * (u @ v.T - 5 * S) @ v + 2 * 2.0 * (u - V[rows])
    assert logits.grad * len(v) * len(rows) == pytest.approx(pull * (1 - u**2), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("multi", [False, True])
def test_a_sweep_is_the_best_choice_bit_by_bit(multi):
    labels, sets, rows, V, logits = random_case(multi)
    method, data = started(labels, rows, V, multi=multi)
    method.loss(batch_of(labels[rows], rows=torch.tensor(rows)), logits)
    method.end_epoch(0, data)
    U, best = torch.tanh(logits), V.clone()
    value = objective(U, best, sets, rows, 2.0)
    for k, j in itertools.product(range(V.shape[1]), range(len(V))):
        trial = best.clone()
        trial[j, k] *= -1
        changed = objective(U, trial, sets, rows, 2.0)
        if changed < value and sets[j] and any(sets[i] & sets[j] for i in rows):
            best, value = trial, changed
    kept = torch.tensor([bool(s) for s in sets])
    assert torch.equal(method.database[kept].long(), best[kept])
    assert value < objective(U, V, sets, rows, 2.0)


def test_rows_without_a_similar_query_keep_their_codes():
    labels = torch.tensor([0, 0, 1, 1, 2])
    V = torch.randint(0, 2, (5, 6), generator=torch.Generator().manual_seed(0)) * 2 - 1
    method, data = started(labels, [0, 2], V)
    method.loss(batch_of(labels[[0, 2]], rows=torch.tensor([0, 2])), torch.randn(2, 6))
    method.end_epoch(0, data)
    assert torch.equal(method.database[4].long(), V[4])


def test_no_loss_is_left_where_codes_fit_exactly():
    labels = torch.tensor([0, 0, 1, 1])
    V = torch.tensor([[1, 1, -1, 1]]).repeat(4, 1) * torch.tensor([[1], [1], [-1], [-1]])
    method, _ = started(labels, [1, 2], V)
    terms = method.loss(batch_of(labels[[1, 2]], rows=torch.tensor([1, 2])), 20.0 * V[[1, 2]])
    assert float(sum(terms.values())) == pytest.approx(0, abs=1e-5)


def test_unlabelled_rows_are_never_queries_and_get_the_network_code():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    labels[::4] = -1
    features = (np.eye(3)[labels] * (labels >= 0)[:, None] + 0.2 * rng.normal(size=(60, 3))).astype(np.float32)
    method = learn_frozen("adsh", 8, features, labels, epochs=6)
    unknown = labels < 0
    assert not np.isin(method.queries.numpy(), np.flatnonzero(unknown)).any()
    own = hamming.unpack(codes(method.head, features), 8)
    assert np.array_equal(method.train_codes().numpy()[unknown], own[unknown])


def test_codes_exist_only_after_a_sweep():
    features = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    assert learn_frozen("adsh", 8, features, np.arange(40) % 2, epochs=2).train_codes() is None
    assert learn_frozen("adsh", 8, features, np.arange(40) % 2, epochs=3).train_codes().shape == (40, 8)


@pytest.mark.parametrize("at", [7, 12, 16])
def test_resuming_inside_a_round_gives_the_same_codes(tmp_path, at):
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    features = (np.eye(5)[labels] + rng.normal(size=(90, 5))).astype(np.float32)
    spec = Spec(8, 5, 90, LabelSpace(("a", "b", "c")))
    again, whole = resumed_and_whole(
        "adsh", spec, (features, labels), tmp_path, epochs=8, batch_size=16, at=at, samples=40
    )
    assert again.keys() == whole.keys()
    assert all(torch.equal(again[key], whole[key]) for key in whole)


@pytest.mark.parametrize("params", [{"gamma": -1.0}, {"samples": -1}, {"inner": 0}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match="inner"):
        build_method("adsh", Spec(8, 3, 10, LabelSpace(("a", "b"))), **params)


def test_a_set_of_another_size_or_without_labels_is_refused():
    method = build_method("adsh", Spec(8, 3, 10, LabelSpace(("a", "b"))))
    for data in (FeatureSet(np.zeros((9, 3), np.float32), np.zeros(9, int)), FeatureSet(np.zeros((10, 3), np.float32))):
        with pytest.raises(DataError, match="10 labelled rows"):
            method.epoch_rows(0, data)
    with pytest.raises(DataError, match="no training row"):
        method.epoch_rows(0, FeatureSet(np.zeros((10, 3), np.float32), np.full(10, -1)))


def test_digits_soft_similarity_works_where_plus_and_minus_one_collapse():
    queries, _, database = split()
    reached = {}
    for soft in (True, False):
        method, network = learn_deep("adsh", 16, *database, epochs=30, batch_size=64, samples=200, soft=soft)
        own = method.train_codes().numpy()
        asked = codes(method.head, queries[0], network)
        reached[soft] = map_all(asked, queries[1], hamming.pack(own), database[1])
        if soft:
            agreement = (own == hamming.unpack(codes(method.head, database[0], network), 16)).mean()
            assert reached[soft] > 0.93
            assert reached[soft] > deep_score(method, network, queries, database) - 0.01
            assert agreement > 0.9
    assert reached[False] < reached[True] - 0.1


def test_digits_on_frozen_pixels_beats_itq():
    queries, train, database = split()
    method = learn_frozen("adsh", 16, *train, epochs=60)
    assert score(method, queries, database) > score(learn_frozen("itq", 16, train[0]), queries, database) + 0.1
