"""The methods without training: what they compute, and the sheet's numbers on digits."""

import numpy as np
import pytest
import torch
from digits import learn, score, split

from kinbits import DataError, UsageError
from kinbits.methods import Spec, build_method
from kinbits.methods.blocks import random_rotation

NAMES = ("lsh", "pca", "pca-rotation", "itq")


def weights(method):
    return method.head.layers.weight.detach()


@pytest.mark.parametrize(
    ("name", "bits", "wanted"),
    [("lsh", 16, 0.350), ("lsh", 32, 0.465), ("itq", 16, 0.625), ("itq", 32, 0.668)],
)
def test_digits_reach_the_published_numbers(name, bits, wanted):
    queries, train, database = split()
    reached = np.mean([score(learn(name, bits, train[0], seed=seed), queries, database) for seed in range(3)])
    assert reached == pytest.approx(wanted, abs=0.03)


def test_on_digits_a_rotation_helps_and_the_best_rotation_helps_more():
    queries, train, database = split()
    reached = {name: score(learn(name, 16, train[0]), queries, database) for name in NAMES}
    assert reached["pca"] < reached["pca-rotation"] < reached["itq"]


@pytest.mark.parametrize("name", NAMES)
def test_bits_are_balanced_around_the_mean_wherever_the_features_lie(name):
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(2000, 8)) + 50).astype(np.float32)
    method = learn(name, 6, features)
    share = method.head.encode(torch.from_numpy(features)).float().mean(0)
    assert ((share > 0.4) & (share < 0.6)).all()


def test_pca_finds_the_axes_that_numpy_finds():
    features = np.random.default_rng(1).normal(size=(300, 6)).astype(np.float32) * np.arange(1, 7)
    method = learn("pca", 4, features.astype(np.float32))
    _, _, axes = np.linalg.svd(features - features.mean(0), full_matrices=False)
    assert np.abs(weights(method).numpy() @ axes[:4].T) == pytest.approx(np.eye(4), abs=1e-3)


def test_itq_never_rounds_worse_than_its_start():
    features = torch.from_numpy(split()[1][0])
    losses = []
    for iterations in (1, 3, 50):
        method = learn("itq", 16, features.numpy(), iterations=iterations)
        with torch.no_grad():
            logits = method.head(features)
        losses.append(float((logits.sign() - logits).square().mean()))
        assert weights(method) @ weights(method).T == pytest.approx(torch.eye(16), abs=1e-4)
    assert losses[0] > losses[1] > losses[2]


def test_random_rotations_are_orthogonal_and_repeatable():
    one, two = (random_rotation(7, Spec(7, 9, 10, seed=3)) for _ in range(2))
    assert torch.equal(one, two)
    assert one @ one.T == pytest.approx(torch.eye(7), abs=1e-6)


@pytest.mark.parametrize("name", ["pca", "pca-rotation", "itq"])
def test_more_bits_than_features_are_refused(name):
    with pytest.raises(UsageError, match="at most as many bits"):
        learn(name, 16, np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32))


def test_fewer_images_than_bits_are_told():
    with pytest.warns(UserWarning, match="12 training images vary along 11 directions"):
        learn("itq", 16, np.random.default_rng(0).normal(size=(12, 30)).astype(np.float32))


def test_lsh_makes_more_bits_than_features():
    method = learn("lsh", 40, np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32))
    assert weights(method).shape == (40, 8)


def test_they_need_no_labels_and_say_so():
    for name in NAMES:
        assert build_method(name, Spec(4, 8, 10)).recipe.epochs == 0
    with pytest.raises(DataError, match="lsh"):
        build_method("hashnet", Spec(16, 8, 10))
