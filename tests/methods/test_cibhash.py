"""CIBHash: the sheet's numbers, both terms in plain loops, the straight-through gradient, digits."""

import math

import numpy as np
import pytest
import torch
from digits import batch_of, codes, learn, map_all, score, unlabelled_split, views_of

from kinbits import DataError, UsageError, hamming
from kinbits.methods import Spec, build_method
from kinbits.methods.cibhash import divergence

LARGE = 40.0  # logits so large that probabilities are 0 and 1 and codes are exact


def make(bits=4, **params):
    return build_method("cibhash", Spec(bits, 3, 10), hidden=8, **params)


def contrast(one, two, **params):
    logits = LARGE * torch.cat([one, two])
    batch = batch_of(rows=torch.arange(len(one)))
    return float(make(one.shape[1], **params).loss(batch, logits)["contrast"])


HADAMARD = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])


def test_orthogonal_codes_and_equal_views():
    assert contrast(HADAMARD, HADAMARD) == pytest.approx(0.193957, abs=1e-6)
    assert contrast(HADAMARD, HADAMARD) == pytest.approx(math.log(1 + 6 * math.exp(-1 / 0.3)), abs=1e-6)


def test_a_collapse_costs_the_logarithm_of_the_others():
    same = torch.ones(4, 4)
    assert contrast(same, same) == pytest.approx(1.945910, abs=1e-6)


def test_the_worked_pair_of_views():
    one = torch.tensor([[1.0, 1, 1, 1], [1, 1, -1, -1]])
    two = torch.tensor([[1.0, 1, 1, -1], [1, -1, -1, -1]])
    assert contrast(one, two) == pytest.approx(0.492981, abs=1e-6)


def test_the_worked_divergences():
    p, q = torch.logit(torch.tensor([[0.9, 0.2]])), torch.logit(torch.tensor([[0.6, 0.3]]))
    assert float(divergence(p, q)) == pytest.approx(0.252021, abs=1e-6)
    assert float(divergence(q, p)) == pytest.approx(0.339406, abs=1e-6)
    assert float(divergence(p, p)) == 0
    terms = make(2 + 2, beta=1.0).loss(
        batch_of(rows=torch.arange(1)), torch.cat([torch.cat([p, p], 1), torch.cat([q, q], 1)])
    )
    assert float(terms["bottleneck"]) == pytest.approx(2 * 0.295714, abs=1e-5)
    assert torch.isfinite(divergence(torch.tensor([[200.0]]), torch.tensor([[-200.0]]))).all()


def test_the_gradient_passes_straight_to_the_probability():
    logits = torch.tensor([[0.4, -1.2]], requires_grad=True)
    drawn = make().codes(logits)
    assert drawn.tolist() == [[1.0, -1.0]]
    (drawn * torch.tensor([1.0, 2.0])).sum().backward()
    assert logits.grad.tolist()[0] == pytest.approx([0.240261, 0.355789], abs=1e-6)


def test_a_logit_of_zero_is_a_one():
    assert make().codes(torch.zeros(1, 4)).tolist() == [[1.0] * 4]


def test_coins_fall_as_often_as_the_probability_says():
    torch.manual_seed(0)
    drawn = make(sampling="bernoulli").codes(torch.logit(torch.tensor([[0.1, 0.5, 0.9]])).repeat(20_000, 1))
    assert set(drawn.unique().tolist()) == {-1.0, 1.0}
    assert (drawn > 0).float().mean(0).tolist() == pytest.approx([0.1, 0.5, 0.9], abs=0.02)


def test_the_loss_is_the_equation():
    logits = torch.randn(10, 6, generator=torch.Generator().manual_seed(2))
    terms = make(6, temperature=0.4, beta=0.7).loss(batch_of(rows=torch.arange(5)), logits)
    signs = [[1 if a >= 0 else -1 for a in row] for row in logits.tolist()]
    s = [[sum(a * b for a, b in zip(x, y, strict=True)) / 6 / 0.4 for y in signs] for x in signs]
    wanted = 0.0
    for i in range(10):
        below = sum(math.exp(s[i][j]) for j in range(10) if j != i)
        wanted -= math.log(math.exp(s[i][(i + 5) % 10]) / below) / 10
    assert float(terms["contrast"]) == pytest.approx(wanted, abs=1e-5)
    p = torch.sigmoid(logits.double()).tolist()
    kl = 0.0
    for i in range(5):
        for a, b in zip(p[i], p[i + 5], strict=True):
            for one, two in ((a, b), (b, a)):
                kl += (one * math.log(one / two) + (1 - one) * math.log((1 - one) / (1 - two))) / 2 / 5
    assert float(terms["bottleneck"]) == pytest.approx(0.7 * kl, abs=1e-5)


def test_the_bottleneck_moves_a_view_towards_the_other_as_it_stands():
    one = torch.randn(3, 4, requires_grad=True)
    two = torch.randn(3, 4)
    loss = make(beta=2.0).loss(batch_of(rows=torch.arange(3)), torch.cat([one, two]))["bottleneck"]
    loss.backward()
    alone = one.detach().clone().requires_grad_()
    divergence(alone, two).mean().backward()
    assert torch.allclose(one.grad, alone.grad, atol=1e-6)


def test_vectors_need_dropout_to_make_views():
    vectors = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    with pytest.raises(DataError, match="dropout"):
        learn("cibhash", 8, vectors, epochs=1)
    learn("cibhash", 8, vectors, epochs=1, dropout=0.2)


def test_logits_of_one_view_are_refused():
    with pytest.raises(UsageError, match="both views"):
        make().loss(batch_of(rows=torch.arange(4)), torch.randn(4, 4))


@pytest.mark.parametrize("params", [{"temperature": 0.0}, {"beta": -1.0}, {"dropout": 1.0}, {"sampling": "coins"}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError):
        make(**params)


def test_digits_training_beats_random_projections_and_makes_views_agree():
    queries, database = unlabelled_split()
    views = views_of(database[0], 8)
    fresh, trained = (learn("cibhash", 32, database[0], views=views, epochs=e, hidden=256) for e in (0, 15))
    assert agreement(trained, *views[:2]) > agreement(fresh, *views[:2]) + 0.03
    assert score(trained, queries, database) > score(learn("lsh", 32, database[0]), queries, database) + 0.08
    assert len(np.unique(codes(trained.head, database[0]), axis=0)) > 100


def agreement(method, one, two):
    """Share of equal bits of two views of the same images."""
    return np.mean(hamming.unpack(codes(method.head, one), 32) == hamming.unpack(codes(method.head, two), 32))


def test_map_all_counts_ties_fairly():
    """The helper of these tests: one code for all is worth the share of relevant images."""
    _, (x, y) = unlabelled_split()
    flat = np.zeros((len(x), 4), np.uint8)
    assert map_all(flat[:50], y[:50], flat, y) == pytest.approx(0.1, abs=0.02)


def test_codes_without_signs_are_the_soft_ones_with_their_gradient():
    logits = torch.tensor([[0.4, -1.2]], requires_grad=True)
    codes = make(sampling="none").codes(logits)
    assert torch.allclose(codes, torch.tanh(logits / 2))
    codes.sum().backward()
    assert torch.allclose(logits.grad, (1 - codes.detach() ** 2) / 2)


def test_a_head_without_hidden_layer_is_one_linear_layer():
    method = build_method("cibhash", Spec(4, 3, 10), hidden=0)
    assert [tuple(parameter.shape) for parameter in method.head.parameters()] == [(4, 3), (4,)]
