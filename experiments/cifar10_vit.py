"""CIFAR-10 on frozen ViT-Tiny features: some methods of each kind, and the uncompressed features.

Writes ``results/cifar10-vit.csv`` (one row per run). The weights lie in a folder of each machine's own, so this is a
script and no experiment file of `kinbits bench`. A run that is already in the CSV is skipped.

    KINBITS_DATA=path/to/data python experiments/cifar10_vit.py --backbones hf:path/to/vit --names vit-tiny
"""

from __future__ import annotations

import argparse

from _runs import Clock, Table

import kinbits
from kinbits import metrics
from kinbits.data import FeatureCache

PROTOCOL = "cifar10-1k-5k-54k"
METRICS = ["map@all", "map@1000", "precision@100", "precision@r2"]
METHODS = ["lsh", "pca", "pca-rotation", "itq", "dsah", "cibhash", "adsh", "hashnet", "orthohash"]
FIELDS = ["protocol", "backbone", "method", "bits", "seed"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--backbones", nargs="+", required=True)
    parser.add_argument("--names", nargs="+", help="what the table calls them")
    parser.add_argument("--image-size", type=int, default=128, help="side that images are resized to")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--bits", nargs="+", type=int, default=[32, 64])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    table = Table("cifar10-vit.csv", FIELDS, METRICS)
    splits = kinbits.load_protocol(PROTOCOL)
    cache = FeatureCache()
    relevance = metrics.LabelRelevance(splits.query.labels, splits.database.labels)
    for backbone, name in zip(options.backbones, options.names or options.backbones, strict=True):
        chosen = {"backbone": backbone, "image_size": options.image_size}
        uncompressed(table, name, chosen, splits, relevance, cache)
        for method in options.methods:
            for bits in options.bits:
                for seed in options.seeds:
                    run = {
                        "protocol": PROTOCOL,
                        "backbone": name,
                        "method": method,
                        "bits": bits,
                        "seed": seed,
                    }
                    if not table.has(**run):
                        one(table, run, chosen, splits, relevance, cache)


def one(table: Table, run: dict, chosen: dict, splits, relevance, cache: FeatureCache) -> None:
    """Fit and measure one run."""
    with Clock() as clock:
        model = kinbits.fit(
            splits.train,
            method=run["method"],
            bits=run["bits"],
            seed=run["seed"],
            cache=cache,
            **chosen,
        )
    query, database = (model.encode(part, cache=cache) for part in (splits.query, splits.database))
    result = metrics.evaluate(query, database, relevance, METRICS)
    table.add(run, result, clock.seconds, model.training["recipe"], splits.protocol.checksum)


def uncompressed(table: Table, name: str, chosen: dict, splits, relevance, cache: FeatureCache) -> None:
    """Measure the features' own ranking by cosine."""
    run = {"protocol": PROTOCOL, "backbone": name, "method": "features (cosine)", "bits": "float", "seed": 0}
    if table.has(**run):
        return
    model = kinbits.fit(splits.train, method="lsh", bits=32, cache=cache, **chosen)
    query, database = (model.encode(part, output="features", cache=cache) for part in (splits.query, splits.database))
    with Clock() as clock:
        result = metrics.evaluate_scores(metrics.cosine_scores(query, database), relevance, METRICS[:-1])
    values = {**result, "precision@r2": float("nan")}
    table.add(run, values, clock.seconds, {}, splits.protocol.checksum)


if __name__ == "__main__":
    main()
