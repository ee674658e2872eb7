"""SHC: the sheet's numbers, stage 1 in plain loops, what semantic centres gain, and refusals."""

import math

import numpy as np
import pytest
import torch
from digits import SPACE, resumed_and_whole
from digits import learn as learn_digits
from digits import score as digits_score
from digits import split as digits_split
from tree import GROUPS, learn, scores, split

from kinbits import DataError, UsageError
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method
from kinbits.methods.blocks import min_and_mean_distance
from kinbits.methods.shc import confusion, similarity_of
from kinbits.training import FeatureSet, TrainingSettings, train


@pytest.mark.parametrize("mask", ["true", "predicted"])
def test_the_masked_softmax_is_the_worked_number(mask):
    found, counts = confusion(torch.tensor([[2.0, 1, 0]]), torch.tensor([0]), mask)
    assert found[0].tolist() == pytest.approx([0, 0.731059, 0.268941], abs=1e-6)
    assert counts.tolist() == [1, 0, 0]


def test_the_similarity_is_the_worked_number():
    found = similarity_of(torch.tensor([[0, 0.2, 0.8], [0.4, 0, 0.6], [0.7, 0.3, 0]], dtype=torch.float64))
    wanted = [[1, -0.042857, 1], [-0.042857, 1, 0.354545], [1, 0.354545, 1]]
    assert np.allclose(found, wanted, atol=1e-6)


def naive(logits, sets, mask):
    classes = logits.shape[1]
    total, counts = np.zeros((classes, classes)), np.zeros(classes)
    for row, members in zip(logits.tolist(), sets, strict=True):
        for own in members:
            hidden = own if mask == "true" else row.index(max(row))
            sizes = [0 if j == hidden else math.exp(value) for j, value in enumerate(row)]
            total[own] += np.array(sizes) / sum(sizes)
            counts[own] += 1
    total /= np.maximum(counts, 1)[:, None]
    np.fill_diagonal(total, 0)
    return total, counts


@pytest.mark.parametrize("mask", ["true", "predicted"])
@pytest.mark.parametrize(
    ("labels", "sets"),
    [
        (torch.tensor([0, 2, 2, -1, 3]), [{0}, {2}, {2}, set(), {3}]),
        (
            torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 1, 1], [0, 0, 0, 1], [1, 0, 0, 0]]),
            [{0, 1}, set(), {1, 2, 3}, {3}, {0}],
        ),
    ],
)
def test_stage_one_is_the_equation(labels, sets, mask):
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    found, counts = confusion(logits, labels, mask)
    wanted, wanted_counts = naive(logits, sets, mask)
    assert np.allclose(found, wanted, atol=1e-6)
    assert counts.tolist() == wanted_counts.tolist()


def test_class_sizes_do_not_change_the_similarity():
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    once, _ = confusion(logits, labels)
    again, _ = confusion(torch.cat([logits, logits[labels == 1]]), torch.cat([labels, labels[labels == 1]]))
    assert torch.allclose(once, again)


def test_a_classifier_without_any_doubt_is_no_division_by_zero():
    assert torch.isfinite(similarity_of(torch.zeros(4, 4))).all()


def test_the_classifier_finds_the_groups_of_the_tree():
    method = learn("shc", 16, epochs=1)
    similarity = method.similarity.numpy()
    same = GROUPS[:, None] == GROUPS
    assert similarity[same & ~np.eye(16, dtype=bool)].mean() > similarity[~same].mean() + 0.4
    assert min_and_mean_distance(method.centres.numpy())[0] >= 5


def test_a_class_without_images_is_named():
    points, labels = split()[0]
    method = build_method("shc", Spec(16, 32, 40, LabelSpace(("cat", "dog", "emu"))))
    with pytest.raises(DataError, match=r"1 classes have no training image, e.g. 'emu'.*use csq"):
        train(
            method, FeatureSet(points[:80], labels[:80]), TrainingSettings(epochs=1, progress=False, accelerator="cpu")
        )


def test_a_class_with_one_image_is_learned():
    points, labels = split()[0]
    method = build_method("shc", Spec(16, 32, 41, LabelSpace(("cat", "dog", "emu"))))
    train(method, FeatureSet(points[:81], labels[:81]), TrainingSettings(epochs=1, progress=False, accelerator="cpu"))
    assert torch.isfinite(method.similarity).all()


@pytest.mark.parametrize(
    "params", [{"distance": 17}, {"distance": -2}, {"restarts": 0}, {"mask": "none"}, {"quantization": -1.0}]
)
def test_values_out_of_range_are_refused(params):
    with pytest.raises(UsageError, match=r"need|give one of true, predicted"):
        build_method("shc", Spec(16, 3, 10, SPACE), **params)


def test_too_many_classes_are_sent_to_csq():
    with pytest.raises(UsageError, match="use csq"):
        build_method("shc", Spec(32, 3, 10, LabelSpace(tuple(map(str, range(20_001))))))


def test_a_resumed_run_keeps_centres_and_similarity(tmp_path):
    _, (images, labels), _ = digits_split()
    spec = Spec(12, 64, 1000, SPACE)
    again, whole = resumed_and_whole("shc", spec, (images, labels), tmp_path, epochs=2, batch_size=200, at=7)
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_digits_on_frozen_pixels_beats_itq():
    queries, part, database = digits_split()
    method = learn_digits("shc", 16, *part, epochs=20)
    assert digits_score(method, queries, database) > (
        digits_score(learn_digits("itq", 16, part[0]), queries, database) + 0.1
    )


def toy(name, bits, noisy=False, **params):
    """Return (fine mAP, hierarchical precision), mean of three seeds."""
    runs = (scores(learn(name, bits, seed, noisy=noisy, **params), seed, noisy) for seed in range(3))
    return np.mean(list(runs), axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [16, 32])
def test_semantic_centres_gain_hierarchical_precision_and_lose_no_class(bits):
    semantic, plain = toy("shc", bits), toy("csq", bits)
    assert semantic[1] > plain[1] + 0.05
    assert semantic[0] > plain[0] - 0.005


@pytest.mark.slow
def test_without_the_distance_classes_blur():
    kept, free = toy("shc", 16, noisy=True), toy("shc", 16, noisy=True, distance=0)
    assert free[1] > kept[1]
    assert free[0] < kept[0] - 0.05
