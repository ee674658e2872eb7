"""Barlow Twins: the sheet's numbers, the loss in plain loops, what it does not see, digits."""

import math
import warnings

import numpy as np
import pytest
import torch
from digits import batch_of, codes, learn, resumed_and_whole, score, unlabelled_split, views_of

from kinbits import DataError, UsageError, hamming
from kinbits.methods import Batch, Spec, build_method
from kinbits.methods.barlow_twins import cross_correlation
from kinbits.training import FeatureSet, TrainingSettings, train

FOUR = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
PAPER = 0.0051


def make(bits=4, **params):
    return build_method("barlow-twins", Spec(bits, 3, 10), **params)


def terms(one, two, **params):
    return make(**params).loss(batch_of(rows=torch.arange(len(one))), torch.cat([one, two]))


def total(one, two, redundancy=PAPER):
    return float(sum(terms(one, two, redundancy=redundancy).values()))


def test_independent_equal_views_cost_nothing():
    assert total(FOUR, FOUR) == pytest.approx(0, abs=1e-5)


def test_equal_columns_and_opposite_views_cost_what_the_formula_says():
    twice = FOUR[:, :1].expand(4, 2)
    assert total(twice, twice) == pytest.approx(0.0102, abs=1e-5)
    assert total(FOUR, -FOUR) == pytest.approx(8, abs=2e-4)  # the variance has 1e-5 added


def test_the_worked_pair_of_views():
    two = torch.tensor([[1.0, 1], [1, 1], [-1, 1], [-1, -1]])
    wanted = torch.tensor([[1, 0.57735], [0, 0.57735]])
    torch.testing.assert_close(cross_correlation(FOUR, two), wanted, atol=2e-5, rtol=0)
    found = terms(FOUR, two, redundancy=1.0)
    assert float(found["change"]) == pytest.approx(0.178633, abs=1e-5)
    assert float(found["redundancy"]) == pytest.approx(0.333333, abs=1e-5)
    assert total(FOUR, two) == pytest.approx(0.180333, abs=1e-5)


def test_the_variance_is_that_of_the_batch_itself():
    assert cross_correlation(FOUR, FOUR).diagonal().tolist() == pytest.approx([0.99999] * 2, abs=2e-6)


def test_the_loss_is_the_equation():
    generator = torch.Generator().manual_seed(0)
    one, two = torch.randn(9, 5, generator=generator), 3 * torch.randn(9, 5, generator=generator) + 1
    found = terms(one, two, redundancy=0.3)
    change = rest = 0.0
    for k in range(5):
        for j in range(5):
            a, b = one[:, k].double().tolist(), two[:, j].double().tolist()
            mean_a, mean_b = sum(a) / 9, sum(b) / 9
            above = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True)) / 9
            below = [sum((x - m) ** 2 for x in values) / 9 + 1e-5 for values, m in ((a, mean_a), (b, mean_b))]
            c = above / math.sqrt(below[0] * below[1])
            change += (1 - c) ** 2 if k == j else 0
            rest += 0 if k == j else c**2
    assert float(found["change"]) == pytest.approx(change, abs=1e-5)
    assert float(found["redundancy"]) == pytest.approx(0.3 * rest, abs=1e-5)


def test_place_scale_sign_and_order_of_logits_do_not_matter():
    generator = torch.Generator().manual_seed(1)
    one, two = torch.randn(20, 4, generator=generator), torch.randn(20, 4, generator=generator)
    start = total(one, two)
    assert total(one, two * torch.tensor([2.0, 5, 30, 1.5]) + torch.tensor([3.0, 0, -70, 1])) == pytest.approx(
        start, abs=1e-3
    )
    flipped, order = torch.tensor([1.0, -1, 1, 1]), torch.tensor([2, 0, 3, 1])
    assert total(one * flipped, two * flipped) == pytest.approx(start, abs=1e-5)
    assert total(one[:, order], two[:, order]) == pytest.approx(start, abs=1e-5)


def test_a_dead_bit_costs_one_and_breaks_nothing():
    one, two = FOUR.clone().requires_grad_(), FOUR.clone()
    dead = torch.cat([one[:, :1], torch.zeros(4, 1)], 1)
    found = terms(dead, two, redundancy=1.0)
    assert float(found["change"].detach()) == pytest.approx(1, abs=1e-4)
    sum(found.values()).backward()
    assert torch.isfinite(one.grad).all()


def test_noise_alone_has_the_expected_correlations():
    generator = torch.Generator().manual_seed(0)
    one, two = torch.randn(256, 64, generator=generator), torch.randn(256, 64, generator=generator)
    apart, equal = terms(one, two, redundancy=1.0), terms(one, one, redundancy=1.0)
    assert float(apart["change"]) == pytest.approx(64, abs=3)
    assert float(apart["redundancy"]) == pytest.approx(64 * 63 / 256, rel=0.15)
    assert float(equal["change"]) == pytest.approx(0, abs=1e-3)
    assert float(equal["redundancy"]) == pytest.approx(64 * 63 / 256, rel=0.15)


class Kept:
    def minimise(self, loss):
        self.loss = loss


def test_mixed_precision_leaves_the_correlations_exact():
    torch.manual_seed(0)
    method = make(8, redundancy=1.0)
    views = (torch.randn(300, 3), torch.randn(300, 3))
    batch = Batch(torch.arange(300), views[0], views=views)
    with torch.autocast("cpu", torch.bfloat16):
        logits = method.head(torch.cat(views))
        found = method.step(batch, [Kept()])
        rough = method.loss(batch, logits)
    wanted, found, rough = (float(t["redundancy"].detach()) for t in (method.loss(batch, logits), found, rough))
    assert found == pytest.approx(wanted, abs=1e-6)
    assert rough != pytest.approx(wanted, abs=1e-6)  # what would happen without


def test_bits_are_balanced_on_the_training_set():
    _, (x, _) = unlabelled_split()
    method = learn("barlow-twins", 16, x + 3, views=[view + 3 for view in views_of(x, 2)], epochs=2)
    ones = hamming.unpack(codes(method.head, x + 3), 16).mean(0)
    assert np.abs(ones - 0.5).max() < 0.002


def test_vectors_need_dropout_to_make_views():
    vectors = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    with pytest.raises(DataError, match=r"'barlow-twins' learns from two random views.*dropout"):
        learn("barlow-twins", 8, vectors, epochs=1)
    learn("barlow-twins", 8, vectors, epochs=1, dropout=0.2)


def test_logits_of_one_view_are_refused():
    with pytest.raises(UsageError, match="both views"):
        make().loss(batch_of(rows=torch.arange(4)), torch.randn(4, 4))


@pytest.mark.parametrize("params", [{"redundancy": -0.1}, {"dropout": 1.0}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError):
        make(**params)


def test_batches_too_small_for_correlations_are_told_once_or_refused():
    method = make(64)
    rows, logits = batch_of(rows=torch.arange(15)), torch.randn(30, 64)
    with pytest.warns(UserWarning, match="batch_size to 16 at least"):
        method.loss(rows, logits)
    for size, again in ((15, method), (16, make(64))):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again.loss(batch_of(rows=torch.arange(size)), torch.randn(2 * size, 64))
    with pytest.raises(UsageError, match="batch_size to 2"):
        method.loss(batch_of(rows=torch.arange(1)), torch.randn(2, 64))


def test_a_smaller_last_batch_takes_no_part():
    vectors = FeatureSet(np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32))
    method, seen = make(dropout=0.2), []
    method.loss = lambda batch, logits: seen.append(len(batch)) or {"none": logits.sum()}
    for size in (20, 200):
        train(method, vectors, TrainingSettings(epochs=1, batch_size=size, progress=False, accelerator="cpu"))
    assert seen == [20, 20, 50]


def test_resuming_keeps_the_thresholds(tmp_path):
    images = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    again, whole = resumed_and_whole(
        "barlow-twins", Spec(8, 6, 60), (images,), tmp_path, epochs=4, batch_size=20, at=7, dropout=0.2
    )
    assert whole["head.threshold"].any()
    assert all(torch.equal(again[key], whole[key]) for key in whole)


def correlation(method, images):
    """Mean absolute correlation of two bits."""
    bits = hamming.unpack(codes(method.head, images), 32).astype(float)
    found = np.corrcoef(bits.T)
    return np.abs(found[~np.eye(32, dtype=bool)]).mean()


@pytest.mark.slow
def test_digits_redundancy_takes_correlation_out_of_the_bits_and_is_needed():
    queries, database = unlabelled_split()
    views = views_of(database[0], 8)
    found = {}
    for redundancy in (0.0, PAPER, 0.05, 0.5):
        method = learn("barlow-twins", 32, database[0], views=views, epochs=60, redundancy=redundancy)
        found[redundancy] = (correlation(method, database[0]), score(method, queries, database))
    strengths = sorted(found)
    assert [found[s][0] for s in strengths] == sorted((found[s][0] for s in strengths), reverse=True)
    assert min(found, key=lambda s: found[s][1]) == 0
    assert found[0.05][1] > score(learn("lsh", 32, database[0]), queries, database) + 0.03
