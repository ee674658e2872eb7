"""DSRH: the sheet's numbers, the loss and its slopes in plain loops, lists of many levels, overlaid digits."""

import math

import numpy as np
import pytest
import torch
from digits import Network, Pixels, batch_of, codes, resumed_and_whole, split

from kinbits import DataError, UsageError, metrics
from kinbits.data import LabelSpace
from kinbits.methods import Batch, Spec, build_method
from kinbits.methods.blocks import LabelLists, shared_labels
from kinbits.methods.dsrh import list_loss
from kinbits.training import FeatureSet, PixelSet, TrainingSettings, train

SETS = LabelSpace(tuple("abcde"), multi=True)
QUERY = torch.tensor([0.9, 0.8, -0.7, 0.6])
LIST = torch.tensor([[0.8, 0.9, -0.9, 0.5], [0.9, -0.6, -0.8, 0.7], [-0.7, 0.5, 0.9, -0.8]])
LEVELS, ALL = torch.tensor([[2.0, 1.0, 0.0]]), torch.ones(1, 3, dtype=torch.bool)


def make(bits=6, space=SETS, rows=20, **params):
    return build_method("dsrh", Spec(bits, 3, rows, space), **params)


def some_sets(rows=9, classes=5, seed=0):
    labels = torch.from_numpy(np.random.default_rng(seed).random((rows, classes)) < 0.45).float()
    labels[3] = 0  # a row without a label
    return labels


@pytest.mark.parametrize(
    ("codes", "weighted", "wanted"),
    [(LIST, True, 1.115417), (LIST, False, 2.29), (LIST.flip(0), True, 5.713412), (LIST.flip(0), False, 9.71)],
)
def test_worked_values(codes, weighted, wanted):
    distance = (4 - codes @ QUERY) / 2
    total, triples = list_loss(distance[None], LEVELS, ALL, 2.0, weighted=weighted)
    assert float(total) == pytest.approx(wanted, abs=1e-5)
    assert triples == 3


def test_the_worked_balance_term():
    codes = torch.stack([QUERY, LIST[2]])
    terms = make(4, balance=2.0).loss(batch_of(torch.zeros(2, 5)), 2 * torch.atanh(codes))
    assert float(terms["balance"]) == pytest.approx(0.4525, abs=1e-6)


def test_no_loss_where_all_gaps_are_wide_enough():
    assert float(list_loss(torch.tensor([[1.0, 3.0, 5.0]]), LEVELS, ALL, 2.0)[0]) == 0


def test_equal_items_may_swap_places_and_alone_give_no_loss():
    distance, levels = torch.tensor([[2.0, 1.0, 4.0, 0.5]]), torch.tensor([[1.0, 1.0, 0.0, 2.0]])
    every = torch.ones(1, 4, dtype=torch.bool)
    swapped = torch.tensor([[1.0, 2.0, 4.0, 0.5]])
    assert float(list_loss(distance, levels, every, 2.0)[0]) == pytest.approx(
        float(list_loss(swapped, levels, every, 2.0)[0])
    )
    assert list_loss(distance, torch.ones(1, 4), every, 2.0) == (torch.zeros(()), 0)


def naive(logits, labels, rows, *, margin, balance, weighted, cap):
    """The loss in plain loops over triples, with tensors of one number so that autograd gives the slopes."""
    n, bits = logits.shape
    h = 2 * torch.sigmoid(logits) - 1
    sets = [{c for c in range(labels.shape[1]) if labels[i, c]} for i in range(n)]
    total, triples = torch.zeros(()), 0
    for q in range(n):
        items = [i for i in range(n) if sets[q] and sets[i] and rows[i] != rows[q]]
        level = {i: min(len(sets[q] & sets[i]), cap or 99) for i in items}
        ordered = sorted(level.values(), reverse=True)
        ideal = sum((2**value - 1) / math.log2(place + 2) for place, value in enumerate(ordered))
        for i in items:
            for j in items:
                if level[i] <= level[j]:
                    continue
                weight = (2 ** level[i] - 2 ** level[j]) / ideal if weighted else 1.0
                gap = (bits - h[q] @ h[i]) / 2 - (bits - h[q] @ h[j]) / 2 + margin
                total = total + weight * gap.clamp_min(0)
                triples += 1
    return total * ((n - 1) if weighted else 1) / triples + balance / 2 * h.mean(0).square().sum()


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("cap", [0, 1])
def test_loss_and_slopes_are_those_of_the_equation(weighted, cap):
    labels, rows = some_sets(), torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 1])  # one row comes twice
    logits = torch.randn(9, 6, generator=torch.Generator().manual_seed(1), requires_grad=True)
    options = {"margin": 1.5, "balance": 0.3, "weighted": weighted, "cap": cap}
    loss = sum(make(**options).loss(batch_of(labels, rows=rows), logits).values())
    wanted = naive(logits, labels, rows.tolist(), **options)
    assert float(loss.detach()) == pytest.approx(float(wanted.detach()), abs=1e-5)
    ours, theirs = (torch.autograd.grad(value, logits)[0] for value in (loss, wanted))
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_blocks_of_queries_give_the_same_loss_and_slopes():
    distance = torch.rand(9, 9, generator=torch.Generator().manual_seed(0), requires_grad=True)
    levels, counted = shared_labels(some_sets()), ~torch.eye(9, dtype=torch.bool)
    (whole, triples), (parts, same) = (
        list_loss(distance, levels, counted, 0.2, cells=cells) for cells in (1 << 23, 200)
    )
    assert triples == same > 0
    assert float(whole.detach()) == pytest.approx(float(parts.detach()), rel=1e-5)
    slopes = [torch.autograd.grad(value, distance)[0] for value in (whole, parts)]
    assert torch.allclose(*slopes, atol=1e-5)


def test_one_label_per_image_is_a_triplet_hinge():
    space, labels = LabelSpace(tuple("abcde")), torch.tensor([0, 1, 0, 2, 1, -1])
    logits = torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
    hot = torch.nn.functional.one_hot(labels.clamp_min(0), 5).float() * (labels >= 0)[:, None]
    by_class = make(space=space).loss(batch_of(labels), logits)["ranking"]
    assert float(by_class) == pytest.approx(float(make().loss(batch_of(hot), logits)["ranking"]), abs=1e-6)
    assert float(by_class) > 0


@pytest.mark.parametrize(
    "labels",
    [torch.zeros(4, 5), torch.eye(5)[:4], torch.ones(4, 5), torch.eye(5)[:1]],
    ids=["none", "no", "all", "one"],
)
def test_a_batch_without_two_levels_gives_zero_and_finite_slopes(labels):
    logits = torch.randn(len(labels), 6, requires_grad=True)
    ranking = make().loss(batch_of(labels), logits)["ranking"]
    ranking.backward()
    assert float(ranking.detach()) == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_hundreds_of_shared_labels_do_not_overflow():
    labels = torch.zeros(4, 400)
    labels[:2], labels[2, :200], labels[3, 399] = 1, 1, 1
    method = make(space=LabelSpace(tuple(map(str, range(400))), multi=True))
    assert torch.isfinite(method.loss(batch_of(labels), torch.randn(4, 6))["ranking"])


@pytest.mark.parametrize("params", [{"margin": 7.0}, {"margin": -1.0}, {"balance": -1.0}, {"cap": -1}, {"group": 0}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match="need 0 <= margin <= 6 bits"):
        make(**params)


def test_training_rows_without_any_label_are_refused():
    data = FeatureSet(np.zeros((20, 3), np.float32), np.zeros((20, 5), np.float32))
    with pytest.raises(DataError, match="no training row has one"):
        make().epoch_rows(0, data)


def nested(rows=600):
    """Sets {a}, {a, b}, {a, b, c}, ..., of which the long ones are rare."""
    sizes = np.random.default_rng(0).choice(5, rows, p=[0.5, 0.3, 0.1, 0.06, 0.04])
    return torch.from_numpy(np.arange(5) <= sizes[:, None]).float()


def levels_in_lists(labels, groups):
    """Return the share of rows in lists by how many labels they share with anchors of three labels or more."""
    anchors = labels[groups[:, 0]].sum(1) >= 3
    found = (labels[groups[anchors, :1]] * labels[groups[anchors, 1:]]).sum(2).long()
    return torch.bincount(found.flatten(), minlength=6) / found.numel()


def test_lists_hold_the_rare_levels():
    labels = nested()
    drawn = LabelLists(labels).draw(300, 4, np.random.default_rng(0))
    chance = torch.randint(600, (300, 4), generator=torch.Generator().manual_seed(0))
    assert float(levels_in_lists(labels, drawn)[3:].sum()) > 2 * float(levels_in_lists(labels, chance)[3:].sum())
    assert float(levels_in_lists(labels, drawn)[1]) > 0.15  # and the common ones are not lost


def test_a_group_repeats_no_row_and_every_row_is_an_anchor_in_turn():
    drawn = LabelLists(nested()).draw(600, 4, np.random.default_rng(0))
    assert sorted(drawn[:, 0].tolist()) == list(range(600))
    ordered = drawn.sort(1).values
    assert (ordered[:, 1:] != ordered[:, :-1]).all()


def test_unlabelled_rows_are_in_no_group_and_lone_labels_find_company():
    labels = torch.tensor([0, 0, 1, 1, 1, -1, 2])
    drawn = LabelLists(labels).draw(12, 3, np.random.default_rng(0))
    assert 5 not in drawn
    twos = drawn[(labels[drawn[:, 0]] == 1)]
    assert (labels[twos] == 1).all()
    assert (drawn[:, 0] == 6).sum() == 2  # an image alone in its class still is an anchor
    sets = torch.nn.functional.one_hot(labels.clamp_min(0), 3) * (labels >= 0)[:, None]
    assert torch.equal(LabelLists(sets).draw(12, 3, np.random.default_rng(0)), drawn)


def test_groups_keep_the_length_of_an_epoch():
    method, data = make(rows=600), FeatureSet(np.zeros((600, 3), np.float32), nested().numpy())
    assert method.epoch_rows(0, data).shape == (150, 4)
    assert make(group=1).epoch_rows(0, data) is None


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    features = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    again, whole = resumed_and_whole(
        "dsrh", Spec(6, 3, 60, SETS), (features, nested(60).numpy()), tmp_path, epochs=3, batch_size=12, at=8
    )
    assert all(torch.equal(again[key], whole[key]) for key in whole)


def overlaid(seed=0):
    """Return pictures of one to three digits, the brightest pixel on top, and which digits are in them."""
    rng, (x, y) = np.random.default_rng(seed), split()[2]
    pictures, labels = np.zeros((1000, 64), np.float32), np.zeros((1000, 10), np.float32)
    for row in range(1000):
        chosen = rng.choice(len(x), rng.integers(1, 4), replace=False)
        pictures[row], labels[row, y[chosen]] = x[chosen].max(0), 1
    return (pictures[:200], labels[:200]), (pictures[200:], labels[200:])


def learn_overlaid(name, data, *, seed, **params):
    torch.manual_seed(seed)
    network = Network(data[0])
    space = LabelSpace(tuple("0123456789"), multi=True)
    method = build_method(name, Spec(32, 128, len(data[0]), space, seed=seed), **params)
    epochs = None if name == "lsh" else 20
    settings = TrainingSettings(
        epochs=epochs, backbone_lr=1e-3, batch_size=64, seed=seed, progress=False, accelerator="cpu"
    )
    train(method, PixelSet(Pixels(data[0]), network, labels=data[1]), settings)
    return method, network.eval()


def graded(method, network, queries, database):
    ours, theirs = (codes(method.head, part[0], network) for part in (queries, database))
    relevance = metrics.LabelRelevance(queries[1].astype(np.int64), database[1].astype(np.int64))
    return metrics.evaluate(ours, theirs, relevance, ["ndcg@100", "wmap@all"])


@pytest.mark.slow
def test_overlaid_digits_are_ranked_better_than_by_chance_and_not_worse_than_by_pairs():
    queries, data = overlaid()
    found = {
        name: np.mean([graded(*learn_overlaid(name, data, seed=seed), queries, data)["ndcg@100"] for seed in (0, 1, 2)])
        for name in ("dsrh", "hashnet", "lsh")
    }
    assert found["dsrh"] > found["lsh"] + 0.2, found
    assert found["dsrh"] > found["hashnet"] - 0.01, found


def test_rows_of_a_batch_tell_an_image_from_its_double():
    labels, logits = torch.eye(5)[[0, 0, 1]], torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    apart = make().loss(Batch(torch.tensor([0, 1, 2]), torch.zeros(3, 1), labels), logits)["ranking"]
    double = make().loss(Batch(torch.tensor([0, 0, 2]), torch.zeros(3, 1), labels), logits)["ranking"]
    assert float(apart) > 0 == float(double)
    assert shared_labels(labels).tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
