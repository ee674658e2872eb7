"""Bi-half: the halves, the gradient of the layer against its formula, the loss in loops, digits, balance."""

import math

import numpy as np
import pytest
import torch
from digits import Network, Pixels, batch_of, codes, learn, resumed_and_whole, score, unlabelled_split

from kinbits import UsageError, metrics
from kinbits.methods import Spec, build_method
from kinbits.methods.bihalf import halves
from kinbits.training import PixelSet, TrainingSettings, train

DRAW = torch.Generator().manual_seed(3)
FEATURES = torch.rand(7, 5, generator=DRAW)
LOGITS = torch.randn(7, 6, generator=DRAW)


def make(bits=6, **params):
    return build_method("bihalf", Spec(bits, 5, 7), hidden=8, **params)


def terms_of(logits, features, **params):
    return make(logits.shape[1], **params).loss(batch_of(features=features), logits)


@pytest.mark.parametrize("rows", [1, 2, 3, 8, 31, 64])
def test_each_bit_is_on_for_half_of_every_batch_in_odd_batches_too(rows):
    found = halves(torch.randn(rows, 16, generator=DRAW) + 5)  # far from balanced by sign
    assert ((found == 1) | (found == -1)).all()
    assert ((found == 1).sum(0) == rows // 2).all()


def test_the_larger_logits_are_the_ones():
    logits = torch.tensor([[3.0, -9], [1, -7], [2, -8], [9, -1], [-4, -2]])
    assert halves(logits).T.tolist() == [[1, -1, -1, 1, -1], [-1, -1, -1, 1, 1]]


def test_among_equal_logits_the_earlier_rows_are_the_ones():
    assert halves(torch.zeros(5, 1)).flatten().tolist() == [1, 1, -1, -1, -1]


def test_halves_do_not_depend_on_a_shift_of_the_logits():
    assert torch.equal(halves(LOGITS), halves(LOGITS - 2.5))


def naive_fit(rows, features):
    """The first term from its equation, in loops; the partner is half a batch further."""

    def cosine(a, b):
        dot = sum(p * q for p, q in zip(a, b, strict=True))
        return dot / math.sqrt(sum(p * p for p in a) * sum(q * q for q in b))

    n = len(rows)
    partner = [(i - n // 2) % n for i in range(n)]
    gaps = [cosine(rows[i], rows[j]) - cosine(features[i], features[j]) for i, j in enumerate(partner)]
    return sum(gap**2 for gap in gaps) / n


@pytest.mark.parametrize("rows", [2, 3, 6, 7])
def test_the_loss_is_the_equation(rows):
    logits, features = LOGITS[:rows], FEATURES[:rows]
    terms, kept = terms_of(logits, features, gamma=2.5), halves(logits)
    assert float(terms["cosines"]) == pytest.approx(naive_fit(kept.tolist(), features.tolist()), abs=1e-6)
    gaps = [
        (u - b) ** 2 for us, bs in zip(logits.tolist(), kept.tolist(), strict=True) for u, b in zip(us, bs, strict=True)
    ]
    assert float(terms["pull"]) == pytest.approx(2.5 / 2 * sum(gaps) / len(gaps), abs=1e-6)


def test_an_even_batch_is_its_first_half_against_its_second():
    one, two = halves(LOGITS[:6]).chunk(2)
    first, second = FEATURES[:6].chunk(2)
    cosine = torch.nn.functional.cosine_similarity
    wanted = (cosine(one, two) - cosine(first, second)).square().mean()
    assert float(terms_of(LOGITS[:6], FEATURES[:6])["cosines"]) == pytest.approx(float(wanted), abs=1e-6)


def test_an_odd_batch_leaves_no_image_out():
    whole = float(terms_of(LOGITS, FEATURES)["cosines"])
    for row in range(7):
        turned = FEATURES.clone()
        turned[row] = torch.tensor([1.0, 0, 0, 0, 0])
        assert float(terms_of(LOGITS, turned)["cosines"]) != pytest.approx(whole, abs=1e-6)


class Layer(torch.autograd.Function):
    """The layer as published: a backward pass of its own."""

    gamma = 6.0

    @staticmethod
    def forward(ctx, logits):
        ctx.save_for_backward(logits, halves(logits))
        return halves(logits)

    @staticmethod
    def backward(ctx, gradient):
        logits, kept = ctx.saved_tensors
        return gradient + Layer.gamma * (logits - kept) / kept.numel()


@pytest.mark.parametrize("rows", [6, 7])
def test_the_gradient_is_that_of_the_published_backward_pass(rows):
    ours, theirs = (LOGITS[:rows].clone().requires_grad_() for _ in range(2))
    sum(terms_of(ours, FEATURES[:rows]).values()).backward()
    kept, features = Layer.apply(theirs), FEATURES[:rows]
    cosine, step = torch.nn.functional.cosine_similarity, rows // 2
    gap = cosine(kept, kept.roll(step, 0)) - cosine(features, features.roll(step, 0))
    gap.square().mean().backward()
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-7)


def test_no_gradient_goes_into_the_features():
    features = FEATURES.clone().requires_grad_()
    sum(terms_of(LOGITS.clone().requires_grad_(), features).values()).backward()
    assert features.grad is None


def test_a_trained_backbone_is_compared_with_its_unchanged_copy():
    """Else the features could all become alike, with the codes."""
    images = np.random.default_rng(0).random((60, 64)).astype(np.float32)
    torch.manual_seed(0)
    network = Network(images)
    before = [p.detach().clone() for p in network.parameters()]
    data = PixelSet(Pixels(images), network)
    settings = TrainingSettings(epochs=2, batch_size=20, backbone_lr=1e-2, progress=False, accelerator="cpu")
    train(build_method("bihalf", Spec(8, 128, 60), hidden=8), data, settings)
    assert all(torch.equal(a, b) for a, b in zip(before, data.ema_backbone.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize("params", [{"gamma": -0.1}, {"hidden": -1}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match="need both >= 0"):
        build_method("bihalf", Spec(8, 5, 7), **params)


def test_a_run_that_was_stopped_goes_on_as_if_it_was_not(tmp_path):
    rows = np.random.default_rng(0).normal(size=(45, 5)).astype(np.float32)
    again, whole = resumed_and_whole("bihalf", Spec(8, 5, 45), (rows,), tmp_path, epochs=3, batch_size=10, at=8)
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def statistics(images, seed=0, name="bihalf", **params):
    """Train on digits; return the statistics of unseen images' codes, and mAP."""
    queries, database = unlabelled_split()
    method = learn(name, 32, images, seed=seed, **params)
    return metrics.code_statistics(codes(method.head, queries[0]), bits=32), score(method, queries, database)


def test_digits_bits_of_unseen_images_are_balanced_by_their_sign_alone():
    images = unlabelled_split()[1][0]
    ours, _ = statistics(images, epochs=5)
    theirs, _ = statistics(images, epochs=5, name="greedyhash-unsupervised")
    assert ours.entropy > 0.995 > theirs.entropy
    assert ours.imbalance < 0.07


def test_digits_without_the_pull_the_halves_are_not_around_zero_and_search_is_worse():
    images = unlabelled_split()[1][0]
    (pulled, found), (loose, lost) = (statistics(images, epochs=5, gamma=gamma) for gamma in (6.0, 0.0))
    assert loose.imbalance > pulled.imbalance + 0.1
    assert found > lost + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_digits_bits_hold_more_than_those_of_greedyhash_and_both_beat_itq(seed):
    images = unlabelled_split()[1][0]
    ours, found = statistics(images, seed)
    theirs, rival = statistics(images, seed, "greedyhash-unsupervised")
    _, baseline = statistics(images, seed, "itq")
    assert ours.entropy > theirs.entropy
    assert min(found, rival) > baseline


def test_without_a_hidden_layer_the_head_is_the_authors():
    assert build_method("bihalf", Spec(8, 5, 7), hidden=0).head.config()["name"] == "linear"
