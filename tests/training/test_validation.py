"""The score that chooses an epoch."""

import numpy as np
import pytest
import torch

from kinbits import fit, hamming, open_dataset
from kinbits.data import LabelSpace
from kinbits.errors import DataError
from kinbits.methods import Spec, build_method
from kinbits.training import FeatureSet, TrainingSettings, train
from kinbits.training.validation import Validation

CLASSES, WIDTH, BITS = 4, 12, 16


def vectors(rows=60, noise=1.0, seed=0):
    """Vectors of four classes, and their classes."""
    labels = np.arange(rows) % CLASSES
    rng = np.random.default_rng(seed)
    found = 1.5 * np.random.default_rng(5).normal(size=(CLASSES, WIDTH))[labels] + noise * rng.normal(
        size=(rows, WIDTH)
    )
    return found.astype(np.float32), labels


def method(name="hashnet", rows=100):
    torch.manual_seed(0)
    return build_method(name, Spec(BITS, WIDTH, rows, LabelSpace(tuple("abcd"))))


def slow(codes, labels, rows=None):
    """The mean, over rows with another of their class, of the expected precision at each of these: by hand."""
    found = []
    for row in range(len(codes)) if rows is None else rows:
        others = np.delete(np.arange(len(codes)), row)
        near = hamming.distances(codes[[row]], codes[others])[0]
        relevant = labels[others] == labels[row]
        total, before, seen = 0.0, 0, 0
        for distance in np.unique(near):
            group = relevant[near == distance]
            n, r = len(group), int(group.sum())
            for place in range(1, n + 1):  # a relevant item is at each place of its tie with equal probability
                with_it = 1 + before + ((r - 1) * (place - 1) / (n - 1) if n > 1 else 0)
                total += r / n * with_it / (seen + place)
            before, seen = before + r, seen + n
        if relevant.any():
            found.append(total / relevant.sum())
    return float(np.mean(found))


def test_the_score_is_that_of_a_walk_through_the_other_held_out_rows():
    found, labels = vectors(noise=2.0)
    labels = np.where(np.arange(60) == 7, 3, labels % 3)  # row 7 is alone in its class
    held, trained = FeatureSet(found, labels), method()
    codes = hamming.pack((trained.outputs(held) >= 0).numpy())
    assert Validation(trained, held).score() == pytest.approx(slow(codes, labels), rel=1e-12)


def test_without_labels_the_nearest_other_rows_are_relevant():
    found, _ = vectors(noise=2.0)
    held, trained = FeatureSet(found), build_method("lsh", Spec(BITS, WIDTH, 100))
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -9)
    near = np.argsort(-cosines, axis=1)[:, :10]
    codes = hamming.pack((trained.outputs(held) >= 0).numpy())
    each = []
    for row in range(60):
        labels = np.full(60, 1)
        labels[near[row]] = labels[row] = 0
        each.append(slow(codes, labels, [row]))
    assert Validation(trained, held).score() == pytest.approx(np.mean(each), rel=1e-6)


def test_what_was_trained_on_takes_no_part():
    """Random labels are learned by heart: the training rows are found by their label, and held-out rows are not."""
    rng = np.random.default_rng(0)
    found = rng.normal(size=(140, WIDTH)).astype(np.float32)
    labels = rng.integers(0, CLASSES, 140)
    known, held = FeatureSet(found[:40], labels[:40]), FeatureSet(found[40:], labels[40:])
    trained = method(rows=40)
    train(trained, known, TrainingSettings(epochs=60, lr=0.03, weight_decay=0.0, progress=False))
    assert Validation(trained, known).score() > 0.6
    assert Validation(trained, held).score() < 0.32  # by chance: .25


def test_one_row_of_each_class_is_refused_and_few_pairs_are_told():
    found, labels = vectors(40)
    with pytest.raises(DataError, match="no two of the 4 held-out images share a label"):
        Validation(method(), FeatureSet(found[:4], labels[:4]))
    with pytest.raises(DataError, match="1 image is held out"):
        Validation(method(), FeatureSet(found[:1], labels[:1]))
    with pytest.warns(UserWarning, match="3 of the 5 held-out images share no label"):
        Validation(method(), FeatureSet(found[:5], labels[:5]))


def test_fit_says_that_the_share_is_too_small():
    found, labels = vectors(40)
    data = open_dataset(found, labels=[f"c{label}" for label in labels])
    with pytest.raises(DataError, match=r"share a label.* raise validation"):
        fit(data, method="orthohash", bits=16, validation=0.1, epochs=1, progress=False)
