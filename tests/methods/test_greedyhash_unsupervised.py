"""GreedyHash without labels: the loss in loops, the gradient through the sign, digits."""

import math

import numpy as np
import pytest
import torch
from digits import batch_of, learn, resumed_and_whole, score, unlabelled_split

from kinbits import UsageError
from kinbits.methods import Spec, build_method
from kinbits.training import FeatureSet

DRAW = torch.Generator().manual_seed(4)
FEATURES = torch.rand(7, 5, generator=DRAW)
LOGITS = torch.randn(7, 6, generator=DRAW)


def terms_of(logits, features, **params):
    method = build_method("greedyhash-unsupervised", Spec(logits.shape[1], features.shape[1], 7), hidden=8, **params)
    return method.loss(batch_of(features=features), logits)


def cosine(a, b):
    dot = sum(p * q for p, q in zip(a, b, strict=True))
    return dot / math.sqrt(sum(p * p for p in a) * sum(q * q for q in b))


@pytest.mark.parametrize("rows", [2, 3, 6, 7])
@pytest.mark.parametrize("power", [1.0, 3.0])
def test_the_loss_is_the_equation(rows, power):
    logits, features = LOGITS[:rows], FEATURES[:rows]
    terms = terms_of(logits, features, alpha=0.7, power=power)
    signs = [[1.0 if u >= 0 else -1.0 for u in row] for row in logits.tolist()]
    f, n = features.tolist(), rows
    gaps = [cosine(signs[i], signs[i - n // 2]) - cosine(f[i], f[i - n // 2]) for i in range(n)]
    assert float(terms["cosines"]) == pytest.approx(sum(gap**2 for gap in gaps) / n, abs=1e-6)
    away = [abs(abs(u) - 1) ** power for row in logits.tolist() for u in row]
    assert float(terms["penalty"]) == pytest.approx(0.7 * sum(away) / len(away), abs=1e-6)


def test_the_worked_pair():
    """Codes ++++ and +++-: cosine 1/2; features (1, 0) and (3, 4): cosine 3/5."""
    logits = torch.tensor([[0.5, 2, 1, 1], [1, 1, 1, -1.0]])
    terms = terms_of(logits, torch.tensor([[1.0, 0], [3, 4]]), alpha=0.1)
    assert float(terms["cosines"]) == pytest.approx(0.01, abs=1e-6)
    assert float(terms["penalty"]) == pytest.approx(0.1 * (0.125 + 1) / 8, abs=1e-6)


def test_the_gradient_of_the_codes_reaches_the_logits_unchanged():
    logits = LOGITS.clone().requires_grad_()
    codes = torch.where(LOGITS >= 0, 1.0, -1.0).requires_grad_()
    terms_of(logits, FEATURES)["cosines"].backward()
    terms_of(codes, FEATURES)["cosines"].backward()
    assert torch.allclose(logits.grad, codes.grad, atol=1e-7)
    assert float(logits.grad.abs().max()) > 0


def test_a_logit_of_zero_is_a_one():
    zeros, ones = (terms_of(torch.full((2, 4), v), FEATURES[:2])["cosines"] for v in (0.0, 1.0))
    assert float(zeros) == pytest.approx(float(ones), abs=1e-6)


def test_no_gradient_goes_into_the_features():
    features = FEATURES.clone().requires_grad_()
    sum(terms_of(LOGITS.clone().requires_grad_(), features).values()).backward()
    assert features.grad is None


@pytest.mark.parametrize("params", [{"alpha": -1.0}, {"power": 0.5}, {"hidden": 0}])
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match="need alpha >= 0, power >= 1 and hidden >= 1"):
        build_method("greedyhash-unsupervised", Spec(8, 5, 7), **params)


def test_features_are_compared_around_their_mean():
    """Positive features have cosines near one value, which codes follow with bits that are the same for all."""
    rows = 5 + np.random.default_rng(0).normal(size=(90, 5)).astype(np.float32)
    found = {}
    for centred in (True, False):
        method = build_method("greedyhash-unsupervised", Spec(6, 5, 90), hidden=8, centred=centred)
        method.prepare(FeatureSet(rows))
        found[centred] = method.loss(batch_of(features=torch.from_numpy(rows[:7])), LOGITS)["cosines"]
        less = rows[:7] - (rows.mean(0) if centred else 0)
        wanted = terms_of(LOGITS, torch.from_numpy(less))["cosines"]
        assert float(found[centred]) == pytest.approx(float(wanted), abs=1e-5)
    assert float(found[True]) != pytest.approx(float(found[False]), abs=1e-2)


def test_a_run_that_was_stopped_goes_on_as_if_it_was_not(tmp_path):
    rows = 5 + np.random.default_rng(0).normal(size=(45, 5)).astype(np.float32)
    name, spec = "greedyhash-unsupervised", Spec(8, 5, 45)
    again, whole = resumed_and_whole(name, spec, (rows,), tmp_path, epochs=3, batch_size=10, at=8)
    assert float(again["mean"].mean()) == pytest.approx(5, abs=0.5)
    assert all(torch.equal(again[key], whole[key]) for key in whole)


def test_digits_the_penalty_keeps_values_near_their_signs():
    _, (images, _) = unlabelled_split()
    gaps = []
    for alpha in (0.1, 0.0):
        method = learn("greedyhash-unsupervised", 32, images, epochs=5, alpha=alpha)
        with torch.no_grad():
            values = method.head(torch.from_numpy(images))
        gaps.append(float((values.abs() - 1).square().mean()))
    assert gaps[0] < gaps[1]


def test_digits_centred_features_give_better_codes_than_raw_ones():
    queries, database = unlabelled_split()
    found = [
        score(learn("greedyhash-unsupervised", 32, database[0], epochs=5, centred=centred), queries, database)
        for centred in (True, False)
    ]
    assert found[0] > found[1] + 0.1
