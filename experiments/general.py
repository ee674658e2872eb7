"""How well the model inside the package ranks collections that it has not seen, beside models fitted on them.

``kinbits/general-128`` as it is and calibrated on the collection (`HashModel.calibrate`), ITQ and PCA with a random
rotation fitted on the collection, all of 128 bits on EfficientNet-Lite0 at 224 px, and the features themselves. Of each
set, up to 500 queries and 5,000 further images are drawn, and ranked by label. Writes ``results/general.csv``
and ``results/general.md``.

    KINBITS_DATA=path/to/data python experiments/general.py [--sets cifar10] [--seeds 0 1 2]
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
from functools import cache

import numpy as np
import torch
from _runs import RESULTS, Clock, Run, Table, summary

import kinbits
from kinbits import hamming, metrics
from kinbits.backbones import extract, load_backbone
from kinbits.data import Dataset, FeatureCache, find_protocol
from kinbits.model import GENERAL_MODEL, HashModel

SETS = {
    "CIFAR-10": "cifar10-1k-5k-54k",
    "fashion products": "fashion-products",
    "brain MRI": "brain-tumor-mri",
}
MODELS = ("general-128", "general-128, calibrated", "itq, fitted", "pca-rotation, fitted", "features")
QUERIES, IMAGES, BITS, SIZE = 500, 5_000, 128, 224
FIELDS, METRICS = ["set", "model", "seed"], ["map@all", "precision@100"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    table = open_table()
    for name, model in itertools.product(options.sets, MODELS):
        for seed in options.seeds if model.endswith("fitted") else [0]:
            if not table.has(set=name, model=model, seed=seed):
                with Clock() as clock:
                    values = measure(name, model, seed)
                table.add({"set": name, "model": model, "seed": seed}, values, clock.seconds, checksum(name))
                write_markdown(table)


def open_table() -> Table:
    """Return the table of this script."""
    return Table("general.csv", FIELDS, METRICS, config)


def config(run: Run) -> str:
    """Return the hash of what makes the numbers of a run."""
    made = shipped().fingerprint if run["model"].startswith("general") else kinbits.__version__
    parts = made, checksum(run["set"]), QUERIES, IMAGES, BITS, SIZE
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


@cache
def checksum(name: str) -> str:
    return find_protocol(SETS[name]).checksum


@cache
def shipped() -> HashModel:
    return HashModel.from_pretrained(GENERAL_MODEL)


def measure(name: str, model: str, seed: int) -> dict[str, float]:
    """Rank a set with one model."""
    query, database, relevance = drawn(name)
    if model == "features":
        query, database = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (query, database))
        return chosen(metrics.evaluate_scores(lambda start, stop: query[start:stop] @ database.T, relevance, METRICS))
    codes = encoded(model, query, database, seed)
    return chosen(metrics.evaluate(*codes, relevance, metrics=METRICS))


def chosen(found: metrics.RankingResult) -> dict[str, float]:
    return {metric: float(found[metric]) for metric in METRICS}


def encoded(model: str, query: np.ndarray, database: np.ndarray, seed: int) -> list[np.ndarray]:
    """Return the codes of both parts; what is fitted or calibrated sees the database only."""
    if model.endswith("fitted"):
        method = model.partition(",")[0]
        fitted = kinbits.fit(database, method=method, bits=BITS, seed=seed, progress=False)
        return [fitted.encode(part) for part in (query, database)]
    with torch.no_grad():
        logits = [shipped().tower().head(torch.from_numpy(part)).numpy() for part in (query, database)]
    middle = np.median(logits[1], axis=0) if model.endswith("calibrated") else 0
    return [hamming.pack(part - middle >= 0) for part in logits]


@cache
def drawn(name: str) -> tuple[np.ndarray, np.ndarray, metrics.Relevance]:
    """Return the features of random queries and of a random part of the database, and what is relevant."""
    splits, rng = kinbits.load_protocol(SETS[name]), np.random.default_rng(0)
    parts = some(splits.query, QUERIES, rng), some(splits.database, IMAGES, rng)
    backbone = load_backbone("efficientnet_lite0", size=SIZE)
    query, database = (np.asarray(extract(part, backbone, cache=FeatureCache()).array, np.float32) for part in parts)
    return query, database, metrics.LabelRelevance(*(np.asarray(part.labels) for part in parts))


def some(part: Dataset, count: int, rng: np.random.Generator) -> Dataset:
    return part.select(np.sort(rng.permutation(len(part))[:count]))


def write_markdown(table: Table) -> None:
    """Write mean and deviation over the draws."""
    lines = [
        f"Tie-aware mAP@all (precision@100) of {BITS} bits by label, mean ± deviation over seeds; {QUERIES} queries "
        f"and up to {IMAGES:,} images.\n",
        "| set | " + " | ".join(MODELS) + " |",
        "| --- |" + " ---: |" * len(MODELS),
    ]
    found = {m: {(r["set"], r["model"]): r for r in summary(table, ["set", "model"], m)} for m in METRICS}
    for name in SETS:
        cells = [
            f"{found['map@all'][name, model]['text']} ({found['precision@100'][name, model]['mean']:.2f})"
            if (name, model) in found["map@all"]
            else ""
            for model in MODELS
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    (RESULTS / "general.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
