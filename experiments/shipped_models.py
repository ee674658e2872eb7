"""Make the models inside the package: `kinbits/general-128` for similar photos, `kinbits/copy-256` for copies.

They learn from the training parts of three sets with free licences: Grocery Store (MIT), Clothing Dataset (CC0) and
Twemoji (CC BY 4.0). Both are one linear layer on EfficientNet-Lite0.

general-128: PCA and a random rotation of the features, in the metric of the classifier of ImageNet that the network was
trained with. With its weights W = U S V^T (centred over the classes), features x are first multiplied by V (S / S_1)^a;
the principal components are then divided by the power p of their deviations. Both are chosen without the sets that
`shipped_models` is measured on: each set in turn is ranked by a model of the two others.

copy-256: `cibhash` on views that are copies, that is the image after one to three everyday edits.

    KINBITS_DATA=path/to/data python experiments/shipped_models.py [general] [copy]
"""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet
from safetensors.torch import load_file, save_file

import kinbits
from kinbits import hamming, metrics
from kinbits.backbones import backbone_class, extract, load_backbone
from kinbits.data import Dataset, FeatureCache, as_dataset, decode
from kinbits.heads import build_head
from kinbits.model import HashModel, Tower

FOLDER = Path(kinbits.__file__).parent / "shipped"
SETS = {"grocery_store": ("train", "val"), "clothing_small": ("train", "val"), "twemoji": ("train",)}
TRAINED_ON = "Grocery Store (MIT), Clothing Dataset (CC0) and Twemoji (CC BY 4.0), training parts"
BACKBONE, SEED = "efficientnet_lite0", 0
GENERAL_SIZE, COPY_SIZE = 224, 128
POWERS = {"a": (0.0, 0.5, 1.0, 1.5, 2.0), "p": (0.0, 0.25, 0.5, 1.0)}
QUERIES = 500


def main() -> None:
    wanted = sys.argv[1:] or ["general", "copy"]
    if "general" in wanted:
        save(general(128), "general-128")
    if "copy" in wanted:
        save(copies(256), "copy-256")


def photos(name: str) -> pa.Table:
    """Return image and label of the training rows of a set."""
    table = parquet.read_table(Path(os.environ["KINBITS_DATA"], f"{name}.parquet"), columns=["image", "label", "split"])
    return table.take(np.isin(np.array(table["split"]), SETS[name]).nonzero()[0])


def images(table: pa.Table) -> Dataset:
    return as_dataset([decode(data) for data in table["image"].to_pylist()])


def general(bits: int) -> HashModel:
    """Return the model for similar photos."""
    backbone = load_backbone(BACKBONE, size=GENERAL_SIZE)
    sets = {}
    for name in SETS:
        table = photos(name)
        found = extract(images(table), backbone, cache=FeatureCache())
        sets[name] = np.asarray(found.array, np.float32), np.array(table["label"])
    powers = choose(sets, bits)
    features = np.concatenate([x for x, _ in sets.values()])
    weight = projection(features, bits, *powers)
    head = build_head({"name": "linear", "features": backbone.feature_dim, "bits": bits})
    head.centre.copy_(torch.from_numpy(features.mean(0)))
    with torch.no_grad():
        head.layers.weight.copy_(torch.from_numpy(weight.T))
        head.layers.bias.zero_()
    method = {"name": "pca-rotation", "params": {"metric": "ImageNet classifier", "a": powers[0], "p": powers[1]}}
    return HashModel({"image": Tower(backbone, head)}, method, record(len(features)))


def choose(sets: dict[str, tuple[np.ndarray, np.ndarray]], bits: int) -> tuple[float, float]:
    """Return the powers that rank each set best with a model of the other sets, by mean mAP."""
    scores = {}
    for powers in itertools.product(*POWERS.values()):
        found = []
        for held_out, (x, labels) in sets.items():
            others = np.concatenate([sets[name][0] for name in sets if name != held_out])
            signs = (x - others.mean(0)) @ projection(others, bits, *powers) >= 0
            found.append(mean_precision(hamming.pack(signs), labels))
        scores[powers] = float(np.mean(found))
        print(f"a={powers[0]}, p={powers[1]}: " + ", ".join(f"{v:.4f}" for v in found) + f", mean {scores[powers]:.4f}")
    return max(scores, key=lambda powers: scores[powers])


def projection(features: np.ndarray, bits: int, a: float, p: float) -> np.ndarray:
    """Return the matrix ``(d, bits)`` that rotates whitened principal components in the classifier's metric."""
    published = backbone_class(BACKBONE).published_weights()["_fc.weight"].numpy()
    _, scale, axes = np.linalg.svd(published - published.mean(0), full_matrices=False)
    metric = axes.T * (scale / scale[0]) ** a
    values, vectors = np.linalg.eigh(np.cov(((features - features.mean(0)) @ metric).T))
    components = vectors[:, ::-1][:, :bits] / values[::-1][:bits] ** (p / 2)
    rotation, _ = np.linalg.qr(np.random.default_rng(SEED).standard_normal((bits, bits)))
    found: np.ndarray = (metric @ components @ rotation).astype(np.float32)
    return found


def mean_precision(codes: np.ndarray, labels: np.ndarray) -> float:
    relevance = metrics.LabelRelevance(labels[:QUERIES], labels[QUERIES:])
    return float(metrics.evaluate(codes[:QUERIES], codes[QUERIES:], relevance, metrics=["map@all"])["map@all"])


def copies(bits: int) -> HashModel:
    """Return the model for copies."""
    training_set = images(pa.concat_tables(photos(name) for name in SETS))
    model = kinbits.fit(
        training_set,
        method="cibhash",
        bits=bits,
        params={"temperature": 0.02, "hidden": 0, "sampling": "none"},
        backbone=BACKBONE,
        image_size=COPY_SIZE,
        views=16,
        view_augmentation="edits",
        epochs=120,
        batch_size=256,
        lr=1e-3,
        cache=FeatureCache(),
        seed=SEED,
    )
    return HashModel(model.towers, model.method, record(len(training_set), model.training))


def record(rows: int, training: dict | None = None) -> dict:
    return {**(training or {"seed": SEED}), "data": TRAINED_ON, "rows": rows}


def save(model: HashModel, name: str) -> None:
    """Save a model with weights of 16 bits; the card and the fingerprint are those of the rounded weights."""
    head = model.tower().head
    with torch.no_grad():
        for tensor in itertools.chain(head.parameters(), head.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(tensor.half())
    folder = Path(model.save_pretrained(FOLDER / name, package_weights=False))
    weights = folder / "model.safetensors"
    save_file({key: one.half() if one.is_floating_point() else one for key, one in load_file(weights).items()}, weights)
    print(HashModel.from_pretrained(folder), f"{weights.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
