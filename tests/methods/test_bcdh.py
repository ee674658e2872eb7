"""BCDH: the sheet's numbers, the equation in plain loops, exact pair codes, mining, given pairs, and digits."""

import itertools
import math

import numpy as np
import pytest
import torch
from digits import batch_of, learn, resumed_and_whole, score, split

from kinbits import DataError, UsageError
from kinbits.data import LabelSpace, Pairs, pairs_from_labels
from kinbits.methods import Spec, build_method
from kinbits.methods.bcdh import exact_codes
from kinbits.methods.blocks import Pool, draw_pairs, given_negatives, mined_negatives
from kinbits.training import FeatureSet, TrainingSettings, train

F = torch.tensor([[0.9, -0.2, 0.6, -0.8], [0.7, 0.3, -0.5, -0.9]])
SPACE = LabelSpace(tuple("abcd"))


def make(bits=4, space=SPACE, pairs=False, rows=10, **params):
    return build_method("bcdh", Spec(bits, 3, rows, space, has_pairs=pairs), **params)


def of_pairs(method, f, g, similar):
    """The loss of one pair: a group whose other place is void."""
    same, other = (g, f) if similar else (f, g)
    rows = torch.tensor([0, 1, 0] if similar else [0, 0, 1])
    terms = method.loss(batch_of(rows=rows), torch.stack([f, same, other]))
    return float(sum(terms.values()))


@pytest.mark.parametrize(("similar", "wanted"), [(True, 0.4620), (False, 1.7070)])
def test_worked_values(similar, wanted):
    method = make(margin=2.0, negatives=1)
    method.strength.fill_(0.1)
    assert of_pairs(method, *F, similar) == pytest.approx(wanted, abs=1e-6)
    assert of_pairs(method, *F.flip(0), similar) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("similar", "b", "c", "cost"),
    [(True, [1, 1, 1, -1], [1, 1, -1, -1], 2.245), (False, [1, -1, 1, -1], [1, 1, -1, -1], 1.845)],
)
def test_worked_pair_codes(similar, b, c, cost):
    found = exact_codes(*F, torch.tensor(similar), 3.0, 1.0)
    assert [one.tolist() for one in found] == [b, c]
    method = make(margin=3.0, negatives=1, pair_codes=True)
    method.start_epoch(10, None)
    assert of_pairs(method, *F, similar) == pytest.approx(cost, abs=1e-5)


def naive_cost(f, g, b, c, similar, margin, coupling, weight):
    distance = sum(x != y for x, y in zip(b, c, strict=True))
    off = sum((x - s) ** 2 for x, s in zip([*f, *g], [*b, *c], strict=True))
    return weight * (distance if similar else max(0, margin - distance)) + coupling / 2 * off


def test_pair_codes_are_the_best_of_all_codes():
    rng = np.random.default_rng(0)
    every = list(itertools.product([-1, 1], repeat=4))
    flipped = 0
    for _ in range(150):
        f, g = (torch.from_numpy(x).float() for x in rng.normal(0, rng.choice([0.3, 1.0]), (2, 4)))
        similar, margin = bool(rng.integers(2)), float(rng.uniform(0, 4))
        coupling, weight = float(rng.uniform(0.2, 2)), float(rng.uniform(0.3, 2))
        b, c = exact_codes(f, g, torch.tensor(similar), margin, coupling, torch.tensor(weight))
        rest = (similar, margin, coupling, weight)
        reached = naive_cost(f.tolist(), g.tolist(), b.tolist(), c.tolist(), *rest)
        best = min(naive_cost(f.tolist(), g.tolist(), p, q, *rest) for p in every for q in every)
        assert reached == pytest.approx(best, abs=1e-5)
        flipped += b.tolist() != f.sign().tolist() or c.tolist() != g.sign().tolist()
    assert flipped > 30


@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_the_equation(weighted):
    rng = np.random.default_rng(1)
    method = make(6, margin=2.5, negatives=2)
    method.strength.fill_(0.2)
    rows = torch.tensor([[0, 1, 2, 3], [4, 5, 4, 6], [7, 7, 8, 7]])  # the query's own number stands for nothing
    f = torch.from_numpy(rng.normal(size=(12, 6))).float()
    weights = {(0, 1): 0.5, (7, 8): 3.0} if weighted else {}
    if weighted:
        method._weights = (torch.tensor([0 * 10 + 1, 7 * 10 + 8]), torch.tensor([0.5, 3.0]))
    terms, count = [], 0
    for group, numbers in enumerate(rows.tolist()):
        for place in range(1, 4):
            if numbers[place] == numbers[0]:
                continue
            one, other = f[4 * group].tolist(), f[4 * group + place].tolist()
            apart = sum((x - y) ** 2 for x, y in zip(one, other, strict=True)) / 4
            off = sum((abs(x) - 1) ** 2 for x in [*one, *other])
            pull = apart if place == 1 else max(0, 2.5 - apart)
            terms.append(weights.get((numbers[0], numbers[place]), 1.0) * pull + 0.1 * off)
            count += 1
    found = sum(method.loss(batch_of(rows=rows.flatten()), f).values())
    assert float(found) == pytest.approx(sum(terms) / count, abs=1e-5)


def test_binary_codes_on_the_right_side_cost_nothing():
    method = make(margin=2.0, negatives=1)
    method.strength.fill_(0.3)
    code, other = torch.tensor([1.0, -1, 1, 1]), torch.tensor([1.0, 1, -1, 1])
    assert of_pairs(method, code, code, True) == 0
    assert of_pairs(method, code, other, False) == 0
    assert of_pairs(method, code, code, False) > 0


def test_groups_without_any_pair_are_finite():
    logits = F.repeat(1, 1)[:, :4].clone().requires_grad_()
    method = make(negatives=1)
    loss = sum(method.loss(batch_of(rows=torch.tensor([3, 3, 3])), logits[[0, 0, 0]]).values())
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.isfinite(logits.grad).all()


def test_the_penalty_grows_in_four_steps():
    method, seen = make(), []
    for epoch in (0, 9, 10, 15, 20, 99):
        method.start_epoch(epoch, None)
        seen.append(float(method.strength))
    assert seen == pytest.approx([0, 0, 0.03, 0.1, 0.3, 0.3])
    plain = make(penalty=0.1, warmup=0)
    plain.start_epoch(0, None)
    assert float(plain.strength) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "params", [{"margin": 5.0}, {"coupling": 0.0}, {"penalty": -1.0}, {"queries": 0}, {"mining": "easy"}]
)
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match=r"need|give one of auto, hard, random"):
        make(**params)


def given(n=12):
    """Three clusters of three rows with pairs inside, one row in no cluster, and a listed dissimilar pair."""
    clusters = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, -1, -1, -1])[:n]
    a, b = np.array([0, 1, 3, 6, 9]), np.array([1, 2, 4, 7, 10])
    similar = np.array([1, 1, 1, 1, 0], bool)
    return Pairs(a, b, similar, np.ones(5, np.float32), clusters)


def test_the_nearest_negatives_are_of_other_clusters_and_one_of_each():
    points = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4, 9.0, 0.35, 5.0, 0.01])[:, None]
    pool = Pool(np.arange(9), points)
    found = mined_negatives(given(), np.array([0, 4]), points[[0, 4]], pool, 3, np.random.default_rng(0))
    assert found.tolist() == [[8, 3, 0], [6, 2, 4]]


def test_rows_of_no_cluster_have_no_mined_negatives():
    found = mined_negatives(given(), np.array([9]), None, Pool(np.arange(9)), 2, np.random.default_rng(0))
    assert found.tolist() == [[9, 9]]


def test_mined_negatives_share_no_label_where_rows_have_several():
    labels = (np.random.default_rng(0).random((60, 5)) < 0.3).astype(np.float32)
    pairs = pairs_from_labels(labels)
    pool = np.flatnonzero(pairs.clusters >= 0)
    found = mined_negatives(pairs, pool, None, Pool(pool), 4, np.random.default_rng(0))
    shared = (labels[found] * labels[pool][:, None]).sum(-1) > 0
    own = found == pool[:, None]
    assert not (shared & ~own).any()
    assert own.mean() < 0.5


def test_listed_dissimilar_rows_are_visited_first():
    pairs = given()
    drawn = draw_pairs(pairs, 100, np.random.default_rng(0))
    assert sorted(map(tuple, np.sort(drawn, 1).tolist())) == [(0, 1), (1, 2), (3, 4), (6, 7), (9, 9), (10, 10)]
    listed = given_negatives(pairs, np.array([9, 10, 0]), 2, np.random.default_rng(0))
    assert listed.tolist() == [[10, 9], [9, 10], [0, 0]]
    data = FeatureSet(np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32), pairs=pairs)
    groups = make(space=None, pairs=True, rows=12, negatives=2).epoch_rows(0, data)
    assert groups.shape == (6, 4)
    clusters = pairs.clusters[groups.numpy()]
    for row, (query, positive, *others) in enumerate(groups.tolist()):
        if clusters[row, 0] >= 0:
            assert clusters[row, 1] == clusters[row, 0]
            assert {pairs.clusters[one] for one in others} == {0, 1, 2} - {clusters[row, 0]}
        else:
            assert positive == query
            assert sorted({query, *others}) == [9, 10]


def test_pairs_alone_teach_what_is_apart():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(40, 3)).astype(np.float32)
    upper = np.flatnonzero(images[:, 2] > 0)
    below = np.setdiff1d(np.arange(40), upper)
    a, b = np.triu_indices(40, 1)
    similar = np.isin(a, upper) == np.isin(b, upper)
    data = FeatureSet(images, pairs=Pairs(a, b, similar, np.ones(len(a), np.float32), np.full(40, -1)))
    method = make(8, None, pairs=True, rows=40, warmup=6, hidden=0)
    train(method, data, TrainingSettings(lr=0.05, epochs=12, batch_size=700, progress=False, accelerator="cpu"))
    with torch.no_grad():
        codes = method.head.encode(torch.from_numpy(images)).float()
    assert float((codes[upper].mean(0) - codes[below].mean(0)).abs().mean()) > 0.7


def test_no_similar_pair_at_all_is_an_error_that_says_so():
    with pytest.raises(DataError, match="no two training images are known to be similar"):
        make().epoch_rows(0, FeatureSet(np.zeros((4, 3), np.float32), np.arange(4)))


def test_a_resumed_run_is_the_whole_run(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 4
    images = (rng.normal(size=(4, 6))[labels] + rng.normal(size=(60, 6))).astype(np.float32)
    settings = {"epochs": 8, "batch_size": 35, "at": 37, "warmup": 4, "queries": 50}
    again, whole = resumed_and_whole("bcdh", Spec(8, 6, 60, SPACE), (images, labels), tmp_path, **settings)
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    assert float(whole["strength"]) == pytest.approx(0.1)


def gap(method, images):
    with torch.no_grad():
        return float((method.head(torch.from_numpy(images)).abs() - 1).square().mean())


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_growing_the_penalty_beats_leaving_it_out_and_a_large_one_from_the_start(seed):
    queries, (images, labels), database = split()
    scores, gaps = {}, {}
    shapes = {"grown": {}, "none": {"penalty": 0.0}, "large": {"penalty": 1.0, "warmup": 0}}
    for name, params in shapes.items():
        method = learn("bcdh", 32, images, labels, seed=seed, hidden=128, queries=1000, **params)
        scores[name], gaps[name] = score(method, queries, database), gap(method, images)
    assert scores["grown"] > 0.93
    assert scores["grown"] > scores["none"] + 0.01
    assert scores["grown"] > scores["large"]
    assert gaps["grown"] < gaps["none"] / 3


@pytest.mark.slow
def test_pair_codes_after_a_warm_up_learn_digits_and_make_outputs_binary():
    queries, (images, labels), database = split()
    method = learn("bcdh", 32, images, labels, hidden=128, queries=1000, pair_codes=True, warmup=15)
    assert score(method, queries, database) > 0.9
    assert gap(method, images) < 0.2


def test_a_batch_of_groups_has_finite_gradients():
    method = make(5, negatives=3)
    f = torch.randn(10, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = sum(method.loss(batch_of(rows=torch.arange(10)), f).values())
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert torch.isfinite(f.grad).all()
