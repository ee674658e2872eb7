"""A toy hierarchy: 16 classes in 4 groups, noisy points in 32 dimensions."""

from functools import cache

import numpy as np
import torch
from digits import codes

from kinbits import metrics
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method
from kinbits.training import FeatureSet, TrainingSettings, train

GROUPS = np.arange(16) // 4
SPACE = LabelSpace.with_levels([f"class {c}" for c in range(16)], [(GROUPS.tolist(), tuple("abcd"))])


@cache
def split(seed=0, noisy=False):
    """Return (points, labels) of 640 training points, which are the database, and of 320 queries."""
    apart, noise = (0.6, 0.7) if noisy else (1.0, 0.5)
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(4, 32))[GROUPS] + apart * rng.normal(size=(16, 32))
    parts = []
    for each in (40, 20):
        labels = np.repeat(np.arange(16), each)
        points = centres[labels] + noise * rng.normal(size=(len(labels), 32))
        parts.append((points.astype(np.float32), labels))
    return tuple(parts)


def learn(name, bits, seed=0, *, noisy=False, space=SPACE, epochs=60, batch_size=64, lr=None, **params):
    """Train on the toy."""
    points, labels = split(seed, noisy)[0]
    torch.manual_seed(seed)
    method = build_method(name, Spec(bits, 32, len(points), space, None, seed), **params)
    settings = TrainingSettings(
        epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, progress=False, accelerator="cpu"
    )
    train(method, FeatureSet(points, labels), settings)
    return method.eval()


def scores(method, seed=0, noisy=False):
    """Return mAP of the fine classes, and mean average hierarchical precision over the whole database."""
    (database, theirs), (queries, ours) = split(seed, noisy)
    relevance = metrics.HierarchyRelevance(ours, theirs, SPACE.parents, SPACE.classes)
    found = metrics.evaluate(
        codes(method.head, queries), codes(method.head, database), relevance, ["map@all", "mahp@640"]
    )
    return np.array([found["map@all"], found["mahp@640"]])
