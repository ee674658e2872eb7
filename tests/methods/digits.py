"""What the tests of methods share: scikit-learn's digits in a fixed split, and a small network for them."""

import contextlib
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from kinbits import hamming, metrics
from kinbits.data import LabelSpace
from kinbits.heads import rank_outputs
from kinbits.methods import Batch, Spec, build_method
from kinbits.training import FeatureSet, PixelSet, TrainingSettings, train

SPACE = LabelSpace(tuple("0123456789"))


@cache
def split():
    """Return (pixels in [0, 1], labels) of 200 queries, 1,000 training and 1,597 database images."""
    x, y = load_digits(return_X_y=True)
    x, y = (x / 16).astype(np.float32), y.astype(np.int64)
    rng = np.random.RandomState(0)  # the published split was drawn with it
    orders = [rng.permutation(np.flatnonzero(y == c)) for c in range(10)]
    parts = [np.concatenate([order[cut] for order in orders]) for cut in (slice(20), slice(20, 120), slice(20, None))]
    return tuple((x[rows], y[rows]) for rows in parts)


@cache
def unlabelled_split():
    """Return (pixels, labels) of the 200 queries and of 1,500 images to learn from without labels."""
    queries, _, (x, y) = split()
    rows = np.sort(np.random.default_rng(1).permutation(len(x))[:1500])
    return queries, (x[rows], y[rows])


def views_of(images, count):
    """Make random views: shift by a pixel, change the brightness, add noise."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        padded = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
        down, right = rng.integers(0, 3, (2, len(images), 1, 1))
        rows, columns = down + np.arange(8)[:, None], right + np.arange(8)
        moved = padded[np.arange(len(images))[:, None, None], rows, columns].reshape(len(images), 64)
        light = rng.uniform(0.7, 1.3, (len(images), 1))
        made.append((moved * light + rng.normal(0, 0.1, images.shape)).astype(np.float32))
    return made


def noisy_views(images, count):
    """Make random views: noise of .4 deviations of a pixel, and a fifth of the pixels masked."""
    rng = np.random.default_rng(0)
    spread = 0.4 * images.std()
    return [
        ((images + rng.normal(0, spread, images.shape)) * (rng.random(images.shape) >= 0.2)).astype(np.float32)
        for _ in range(count)
    ]


@cache
def halves():
    """Return (left halves, right halves, labels) of the 200 queries and of 1,000 pairs to learn from."""
    queries, database = unlabelled_split()
    rows = np.sort(np.random.default_rng(2).permutation(1500)[:1000])

    def cut(images, labels):
        square = images.reshape(-1, 8, 8)
        left, right = (np.ascontiguousarray(half).reshape(-1, 32) for half in (square[:, :, :4], square[:, :, 4:]))
        return left, right, labels

    return cut(*queries), cut(database[0][rows], database[1][rows])


def both_ways(method, queries, database):
    """Return mAP from left halves to right ones, and back."""
    image, text = method.towers()["image"], method.towers()["text"]
    there = map_all(codes(image, queries[0]), queries[2], codes(text, database[1]), database[2])
    back = map_all(codes(text, queries[1]), queries[2], codes(image, database[0]), database[2])
    return there, back


def learn(
    name,
    bits,
    images,
    labels=None,
    *,
    seed=0,
    views=(),
    texts=None,
    epochs=None,
    batch_size=None,
    lr=None,
    plain=False,
    **params,
):
    """Train a method on pixels as features; ``plain`` takes Adam without weight decay, whatever the recipe says."""
    torch.manual_seed(seed)
    width = None if texts is None else texts.shape[1]
    spec = Spec(bits, images.shape[1], len(images), None if labels is None else SPACE, width, seed)
    method = build_method(name, spec, **params)
    settings = TrainingSettings(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        progress=False,
        accelerator="cpu",
        **({"optimizer": "adam", "weight_decay": 0.0} if plain else {}),
    )
    train(method, FeatureSet(images, labels, texts, views), settings)
    return method


@torch.no_grad()
def codes(head, images, network=None):
    head.eval()
    inputs = torch.from_numpy(images)
    return hamming.pack(head.encode(inputs if network is None else network(inputs)).numpy())


def map_all(queries, query_labels, database, database_labels):
    relevance = metrics.LabelRelevance(query_labels, database_labels)
    return metrics.evaluate(queries, database, relevance, ["map@all"])["map@all"]


@torch.no_grad()
def score(method, queries, database, network=None):
    """Return the mAP of (images, labels), by Hamming distance, or of product codes by asymmetric distance."""
    head = method.head.eval()
    parts = (torch.from_numpy(part[0]) for part in (queries, database))
    made = [(head, head(part if network is None else network(part))) for part in parts]
    return rank_outputs(*made, metrics.LabelRelevance(queries[1], database[1]), ["map@all"])["map@all"]


class Pixels:
    """Digits as images ``(3, 8, 8)``."""

    def __init__(self, images):
        self.images = np.repeat(np.round(images * 255).astype(np.uint8).reshape(-1, 1, 8, 8), 3, axis=1)

    def __len__(self):
        return len(self.images)

    def read(self, rows):
        return self.images[rows]


class Network(nn.Module):
    """64 pixels to 128 features, with batch normalisation."""

    def __init__(self, images):
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(images.mean(0)))
        self.deviation = float(images.std())
        hidden = [nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU()]
        self.layers = nn.Sequential(*hidden, nn.Linear(128, 128), nn.BatchNorm1d(128), nn.ReLU())

    def forward(self, pixels):
        flat = pixels[:, 0].flatten(1) if pixels.ndim == 4 else pixels
        return self.layers((flat - self.mean) / self.deviation)


def learn_deep(name, bits, images, labels, *, epochs, batch_size=100, seed=0, **params):
    """Train a method together with a small network; return both."""
    torch.manual_seed(seed)
    network = Network(images)
    method = build_method(name, Spec(bits, 128, len(images), SPACE, seed=seed), **params)
    settings = TrainingSettings(
        epochs=epochs, batch_size=batch_size, backbone_lr=1e-3, seed=seed, progress=False, accelerator="cpu"
    )
    train(method, PixelSet(Pixels(images), network, labels=labels), settings)
    return method, network.eval()


def deep_score(method, network, queries, database):
    return score(method, queries, database, network)


def batch_of(labels=None, features=None, rows=None, views=(), texts=None):
    """Make a batch by hand."""
    some = next(t for t in (features, labels, rows, *views) if t is not None)
    rows = torch.arange(len(some)) if rows is None else rows
    features = torch.zeros(len(rows), 1) if features is None else features
    return Batch(rows=rows, features=features, labels=labels, views=tuple(views), texts=texts)


class Interrupted(FeatureSet):
    """Stops a run like a kill at the given step."""

    def __init__(self, *data, at):
        super().__init__(*data)
        self.left = at

    def batch(self, rows, seed):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().batch(rows, seed)


def resumed_and_whole(name, spec, data, folder, *, epochs, batch_size, at, **params):
    """Return the state after a run that was stopped and resumed, and after one that was not."""
    settings = {"epochs": epochs, "batch_size": batch_size, "progress": False, "accelerator": "cpu"}
    torch.manual_seed(0)
    whole = build_method(name, spec, **params)
    train(whole, FeatureSet(*data), TrainingSettings(**settings))
    torch.manual_seed(0)
    kept = TrainingSettings(**settings, checkpoints=folder)
    with contextlib.suppress(KeyboardInterrupt):
        train(build_method(name, spec, **params), Interrupted(*data, at=at), kept)
    torch.manual_seed(1)  # other initial weights: everything must come from the checkpoint
    again = build_method(name, spec, **params)
    train(again, FeatureSet(*data), replace(kept, resume=True))
    return again.state_dict(), whole.state_dict()
