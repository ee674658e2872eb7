"""The score that chooses an epoch."""

import numpy as np

from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method
from kinbits.training import FeatureSet
from kinbits.training.validation import score

ROWS = 160


def vectors(seed=0):
    labels = np.arange(ROWS) % 4
    rng = np.random.default_rng(seed)
    found = 1.5 * np.random.default_rng(5).normal(size=(4, 12))[labels] + rng.normal(size=(ROWS, 12))
    return found.astype(np.float32), labels


def test_guesses_never_judge_an_epoch():
    """Wrong guesses in the training set leave the validation score as it is."""
    found, labels = vectors()
    method = build_method("hashnet", Spec(16, 12, 100, LabelSpace(tuple("abcd"))))
    held = FeatureSet(found[100:], labels[100:])
    scores = []
    for wrong in (0, 1):
        known = np.where(np.arange(100) < 50, labels[:100], (labels[:100] + wrong) % 4)
        scores.append(score(method, FeatureSet(found[:100], known, is_true=np.arange(100) < 50), held))
    assert scores[0] == scores[1]
    assert score(method, FeatureSet(found[:100], known), held) != scores[0]
