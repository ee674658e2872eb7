"""DDSH: the sheet's bit problem, the conversion and residual identities, the tiny objective, columns, digits."""

import itertools

import numpy as np
import pytest
import torch
from digits import batch_of, deep_score, learn, learn_deep, resumed_and_whole, score, split

from kinbits import DataError, UsageError
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method
from kinbits.methods.blocks import CodeSums, balanced_minimum, flipped_minimum, similarity_ratio
from kinbits.methods.ddsh import Ddsh
from kinbits.training import FeatureSet

Q3 = np.array([[0, 1, -2], [1, 0, 0.5], [-2, 0.5, 0]])
P3 = np.array([0.3, -0.2, 0.1])


def value(Q, p, b):
    return float(b @ Q @ b + p @ b)


def random_problem(m, seed):
    rng = np.random.default_rng(seed)
    Q = rng.normal(size=(m, m))
    Q = (Q + Q.T) / 2
    np.fill_diagonal(Q, 0)
    return Q, rng.normal(size=m)


def all_codes(m):
    return [np.array(code, float) for code in itertools.product((-1, 1), repeat=m)]


def objective(B, labels, omega, r):
    """J, pair by pair; labels are sets, an empty set is an unlabelled row."""
    total, K = 0.0, B.shape[1]
    for i, j in itertools.product([i for i, s in enumerate(labels) if s], omega):
        inner = sum(a * b for a, b in zip(B[i].tolist(), B[j].tolist(), strict=True))
        total += (K * (1 if labels[i] & labels[j] else -r) - inner) ** 2
    return total


def started(labels, bits, samples, multi=False, seed=0, **params):
    """Return a method whose first sample is drawn, and its training set."""
    classes = labels.shape[1] if multi else int(labels.max()) + 1
    space = LabelSpace(tuple(map(str, range(classes))), multi=multi)
    method = build_method("ddsh", Spec(bits, 3, len(labels), space, seed=seed), samples=samples, **params)
    data = FeatureSet(np.zeros((len(labels), 3), np.float32), labels.numpy())
    data.rng = np.random.default_rng(seed)
    method.epoch_rows(0, data)
    return method, data


def random_labels(multi, n=30):
    generator = torch.Generator().manual_seed(3)
    if multi:
        labels = (torch.rand(n, 3, generator=generator) < 0.4).float()
        labels[4] = 0
        return labels, [set(row.nonzero().flatten().tolist()) for row in labels]
    labels = torch.randint(0, 3, (n,), generator=generator)
    labels[4] = -1
    return labels, [{c} if c >= 0 else set() for c in labels.tolist()]


def test_the_bit_problem_of_three_rows():
    wanted = [-1.2, 5.0, -7.6, 2.6, 3.4, -6.4, 5.0, -0.8]
    assert [value(Q3, P3, b) for b in all_codes(3)] == pytest.approx(wanted, abs=1e-9)
    assert balanced_minimum(Q3, P3).tolist() == [-1, 1, -1]


@pytest.mark.parametrize(("m", "ones"), [(3, 1), (4, 2), (5, 2), (8, 4), (100, 50), (101, 50)])
def test_a_column_has_half_its_values_positive(m, ones):
    assert int((balanced_minimum(*random_problem(m, m)) > 0).sum()) == ones


def naive_minimum(Q, p, shift=10_000.0):
    """The published search word by word: a Cholesky factor, points, sets of the nearest, smallest scatter."""
    m = len(p)
    A = np.zeros((m + 1, m + 1))
    A[:m, :m] = 4 * Q
    A[m, :m] = A[:m, m] = (2 * p - 2 * (Q + Q.T).sum(1)) / 2
    points = np.linalg.cholesky(shift * np.eye(m + 1) - A / np.abs(A).max())
    size, best = int((m + 1) / 2 + 0.5), None
    for i in range(m + 1):
        apart = ((points[:m] - points[i]) ** 2).sum(1)
        chosen = [*np.argsort(apart)[: size - 1], m]
        scatter = ((points[chosen] - points[chosen].mean(0)) ** 2).sum()
        if best is None or scatter < best[0]:
            best = scatter, chosen[:-1]
    b = -np.ones(m)
    b[best[1]] = 1
    return b


@pytest.mark.parametrize("m", [3, 8, 9, 40])
def test_neither_shift_nor_cholesky_factor_matters(m):
    for seed in range(10):
        Q, p = random_problem(m, seed)
        assert balanced_minimum(Q, p).tolist() == naive_minimum(Q, p, shift=100.0).tolist()


def test_a_large_random_problem_is_solved_well():
    Q, p = random_problem(100, 0)
    b = balanced_minimum(Q, p)
    rng = np.random.default_rng(0)
    coins = [value(Q, p, rng.permutation(b)) for _ in range(200)]
    assert value(Q, p, b) < np.mean(coins) - 2 * np.std(coins)


def test_small_problems_are_near_their_balanced_optimum():
    gaps, hits, means = [], 0, np.zeros(3)
    for seed in range(50):
        Q, p = random_problem(8, seed)
        values = {tuple(b): value(Q, p, b) for b in all_codes(8)}
        even = [v for b, v in values.items() if sum(b) == 0]
        found = value(Q, p, balanced_minimum(Q, p))
        gaps.append((found - min(even)) / (np.median(even) - min(even)))
        hits += found == pytest.approx(min(even))
        means += np.array([found, min(even), min(values.values())]) / 50
    assert hits >= 20
    assert np.mean(gaps) < 0.15
    assert means[0] > means[1] > means[2]


def test_flips_end_where_no_flip_helps_and_never_above_a_start():
    for seed in range(10):
        Q, p = random_problem(12, seed)
        starts = [balanced_minimum(Q, p), np.ones(12)]
        b = flipped_minimum(Q, p, starts)
        assert value(Q, p, b) <= min(value(Q, p, start) for start in starts) + 1e-9
        assert all(value(Q, p, np.where(np.arange(12) == i, -b, b)) >= value(Q, p, b) - 1e-9 for i in range(12))


def test_a_problem_of_zeros_ends():
    assert np.abs(balanced_minimum(np.zeros((6, 6)), np.zeros(6))).tolist() == [1] * 6
    assert flipped_minimum(np.zeros((6, 6)), np.zeros(6), [np.ones(6)]).tolist() == [1] * 6


def test_bit_terms_of_the_objective_are_the_quadratic_problem():
    rng = np.random.default_rng(0)
    R, rest, column = rng.normal(size=(6, 6)), rng.normal(size=(9, 6)), rng.choice([-1.0, 1.0], 9)
    R = R + R.T
    Q, p = -2 * R, -2 * rest.T @ column
    np.fill_diagonal(Q, 0)
    apart = [
        ((R - np.outer(b, b)) ** 2).sum() + ((rest - np.outer(column, b)) ** 2).sum() - value(Q, p, b)
        for b in all_codes(6)
    ]
    assert np.ptp(apart) < 1e-9


def test_the_tiny_objective():
    B = torch.tensor([[1, 1], [1, 1], [-1, 1]])
    assert objective(B, [{0}, {0}, {1}], [0, 2], 0.5) / 3 == pytest.approx(1.0)


@pytest.mark.parametrize("multi", [False, True])
def test_no_column_of_the_sample_raises_the_objective(multi):
    labels, sets = random_labels(multi)
    method, data = started(labels, 6, 10, multi)
    before = objective(method.codes, sets, method.sample.tolist(), float(method.ratio))
    for _ in range(3):
        method.start_epoch(0, data)
        after = objective(method.codes, sets, method.sample.tolist(), float(method.ratio))
        assert after <= before + 1e-6
        before = after


def test_each_column_alone_lowers_the_objective():
    labels, sets = random_labels(False)
    method, data = started(labels, 6, 10)
    rows, r = method.sample, float(method.ratio)
    old, values = method.codes.clone(), []
    method.start_epoch(0, data)
    for k in range(7):
        mixed = old.clone()
        mixed[rows, :k] = method.codes[rows, :k]
        values.append(objective(mixed, sets, rows.tolist(), r))
    assert all(b <= a + 1e-6 for a, b in itertools.pairwise(values))
    assert values[-1] < values[0]


def test_the_plain_step_keeps_every_bit_balanced_on_the_sample():
    labels, _ = random_labels(False)
    method, data = started(labels, 6, 10, refine=False)
    method.start_epoch(0, data)
    assert method.codes[method.sample].sum(0).tolist() == [0] * 6


@pytest.mark.parametrize("multi", [False, True])
def test_the_first_column_sees_the_whole_training_set(multi):
    labels, sets = random_labels(multi)
    method, data = started(labels, 5, 8, multi, refine=False)
    rows, r = method.sample.tolist(), float(method.ratio)
    S = np.array([[1.0 if a & sets[j] else -r for j in rows] for a in sets])
    rest = [i for i, s in enumerate(sets) if s and i not in rows]
    first = method.codes[rest, 0].double().numpy()
    Q = -2 * 5 * S[rows]
    np.fill_diagonal(Q, 0)
    expected = balanced_minimum(Q, -2 * 5 * S[rest].T @ first)
    method.start_epoch(0, data)
    assert value(Q, -2 * 5 * S[rest].T @ first, method.codes[rows, 0].double().numpy()) == pytest.approx(
        value(Q, -2 * 5 * S[rest].T @ first, expected), rel=1e-5
    )


def test_the_loss_and_its_gradient_are_the_closed_form():
    labels, sets = random_labels(False)
    method, data = started(labels, 6, 10)
    method.start_epoch(0, data)
    rows = method.epoch_rows(1, data)[:7]
    logits = torch.randn(7, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    loss = method.loss(batch_of(labels[rows], rows=rows), logits)["fit"]
    loss.backward()
    u, own = torch.tanh(logits.detach()), method.codes[method.sample].float()
    S = torch.tensor([[1.0 if sets[i] & sets[j] else -float(method.ratio) for j in method.sample] for i in rows])
    apart = u @ own.T - 6 * S
    assert float(loss.detach()) == pytest.approx(float(apart.square().mean()), rel=1e-5)
    pull = 2 * apart @ own * (1 - u**2) / apart.numel()
    assert torch.allclose(logits.grad, pull, rtol=1e-4, atol=1e-5)
    assert torch.equal(method.codes[rows] > 0, logits.detach() > 0)


def test_sample_and_rest_share_no_row_and_skip_the_unlabelled():
    labels, _ = random_labels(False)
    method, data = started(labels, 6, 10)
    rest = method.epoch_rows(1, data)
    assert sorted([*rest.tolist(), *method.sample.tolist()]) == [i for i in range(30) if i != 4]


def test_a_sample_smaller_than_the_classes_need_holds_each_class_as_often():
    labels = torch.arange(120) % 12
    labels[:100] = 0  # one class of 101 rows, eleven of one or two
    method, _ = started(labels, 6, 24)
    counts = np.bincount(labels[method.sample], minlength=12)
    assert counts[1:].tolist() == np.bincount(labels, minlength=12)[1:].tolist()


def test_soft_ratio_balances_both_kinds_of_pair():
    labels = torch.tensor([0, 0, 1, 2, -1])
    assert similarity_ratio(labels, torch.tensor([0, 2]), 3) == pytest.approx(3 / 5)
    assert similarity_ratio(torch.tensor([0, 0]), torch.tensor([0]), 1) == 1


def test_code_sums_count_only_what_counts():
    labels, codes = torch.tensor([0, 1, 0, -1]), torch.tensor([[1, 1], [1, -1], [-1, 1], [1, 1]], dtype=torch.int8)
    sums = CodeSums(labels, codes, torch.tensor([True, True, False, False]), 2)
    assert sums.gram[2].tolist() == [2, 0, 2]
    assert sums.near(torch.tensor([0, 1, -1])).tolist() == [[1, 1, 1], [1, -1, 1], [0, 0, 0]]


@pytest.mark.parametrize("at", [7, 12])
def test_resuming_inside_a_round_gives_the_same_codes(tmp_path, at):
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    features = (np.eye(5)[labels] + rng.normal(size=(90, 5))).astype(np.float32)
    spec = Spec(8, 5, 90, LabelSpace(("a", "b", "c")))
    again, whole = resumed_and_whole("ddsh", spec, (features, labels), tmp_path, epochs=5, batch_size=16, at=at)
    assert again.keys() == whole.keys()
    assert all(torch.equal(again[key], whole[key]) for key in whole)


@pytest.mark.parametrize("params", [{"samples": 1}, {"samples": 10}, {"samples": -1}, {"inner": 0}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match="samples"):
        build_method("ddsh", Spec(8, 3, 10, LabelSpace(("a", "b"))), **params)


def test_sets_without_enough_labels_are_refused():
    method = build_method("ddsh", Spec(8, 3, 10, LabelSpace(("a", "b"))))
    zeros = np.zeros((10, 3), np.float32)
    for labels, message in (
        (None, "10 labelled rows"),
        (np.full(10, -1), "no training row"),
        (np.arange(10) - 9, "only 1"),
    ):
        with pytest.raises(DataError, match=message):
            method.epoch_rows(0, FeatureSet(zeros, labels))
    with pytest.raises(UsageError, match="start_epoch"):
        method.loss(batch_of(torch.zeros(2, dtype=torch.int64)), torch.zeros(2, 8))


def test_digits_on_frozen_pixels_beats_itq():
    queries, train, database = split()
    method = learn("ddsh", 16, *train, epochs=15, lr=1e-3)
    assert score(method, queries, database) > score(learn("itq", 16, train[0]), queries, database) + 0.1


class Watched(Ddsh):
    """Writes down J / n after each pass."""

    def end_epoch(self, epoch, train):
        labels, own = train.labels.numpy(), self.codes.double().numpy()
        omega, r = self.sample.numpy(), float(self.ratio)
        S = np.where(labels[:, None] == labels[omega], 1, -r)
        self.seen = [*getattr(self, "seen", []), ((own.shape[1] * S - own @ own[omega].T) ** 2).sum() / len(own)]


@pytest.mark.exhaustive
def test_digits_refinement_lowers_the_objective(monkeypatch):
    queries, (images, labels), database = split()
    rows = np.concatenate([np.flatnonzero(labels == c)[:50] for c in range(10)])
    monkeypatch.setattr("kinbits.methods.registry._REGISTRY", {"ddsh": Watched})
    ends = {True: [], False: []}
    for refine, seed in itertools.product((True, False), range(3)):
        method, network = learn_deep(
            "ddsh", 16, images[rows], labels[rows], epochs=60, batch_size=64, seed=seed, refine=refine
        )
        reached = deep_score(method, network, queries, database)
        print(f"refine {refine}, seed {seed}: J/n {method.seen[0]:.0f} to {method.seen[-1]:.0f}, mAP {reached:.3f}")
        assert method.seen[-1] < 0.3 * method.seen[0]
        assert reached > 0.9
        assert refine or (method.codes[method.sample].sum(0) == 0).all()
        ends[refine].append(method.seen[-1])
    assert np.mean(ends[True]) < 0.7 * np.mean(ends[False])
