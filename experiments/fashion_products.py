"""Image-to-text and text-to-image on fashion products: ugach beside a random and a CCA baseline.

Writes ``results/fashion-products.csv`` (one row per run and direction) and ``results/fashion-products.md``. Relevant
means: the products share an article type or a base colour. ``cca`` projects both modalities on their canonical
directions, fitted on the same training pairs, and takes signs; ``random`` takes coin codes; ``ugach (pairs only)`` and
``ugach (no generator)`` are the method's ablations.

    KINBITS_DATA=path/to/data python experiments/fashion_products.py
"""

from __future__ import annotations

import argparse

import numpy as np
from _runs import RESULTS, Clock, Table, summary

import kinbits
from kinbits import hamming, metrics
from kinbits.data import FeatureCache

PROTOCOL = "fashion-products"
METRICS = ["map@all", "precision@100"]
FIELDS = ["protocol", "direction", "method", "bits", "seed"]
ABLATIONS = {
    "ugach": {},
    "ugach (no generator)": {"generator": False},
    "ugach (pairs only)": {"kappa": 1, "generator": False},
}
RIDGE = 1e-2


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bits", nargs="+", type=int, default=[32])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    table = Table("fashion-products.csv", FIELDS, METRICS)
    splits, cache = kinbits.load_dataset(PROTOCOL), FeatureCache()
    for bits in options.bits:
        for seed in options.seeds:
            run_baselines(table, bits, seed, splits, cache)
        for name, params in ABLATIONS.items():
            for seed in options.seeds:
                run_method(table, name, params, bits, seed, splits, cache)
                write_markdown(table)


def run_method(table, name, params, bits, seed, splits, cache) -> None:
    """Fit ugach with these parameters and measure both directions."""
    if table.has(method=name, bits=bits, seed=seed):
        return
    with Clock() as clock:
        model = kinbits.fit(splits.train, method="ugach", bits=bits, seed=seed, params=params, cache=cache)

    def codes(part, modality):
        return model.codes(model.features(part, modality, cache=cache).array, modality)

    record(table, name, bits, seed, splits, codes, clock.seconds, {**model.training["recipe"], **params})


def run_baselines(table, bits, seed, splits, cache) -> None:
    """Measure canonical correlation with signs, and coin codes."""
    if table.has(method="cca", bits=bits, seed=seed) and table.has(method="random", bits=bits, seed=seed):
        return
    model = kinbits.fit(splits.train, method="ugach", bits=bits, epochs=1, cache=cache)

    def features(part, modality):
        return np.asarray(model.features(part, modality, cache=cache).array, np.float64)

    with Clock() as clock:
        views = cca(features(splits.train, "image"), features(splits.train, "text"), bits)

    def canonical(part, modality):
        mean, directions = views[modality == "text"]
        return hamming.pack((features(part, modality) - mean) @ directions >= 0)

    rng = np.random.default_rng(seed)
    record(table, "cca", bits, seed, splits, canonical, clock.seconds, {"ridge": RIDGE})
    record(
        table,
        "random",
        bits,
        seed,
        splits,
        lambda part, _: hamming.pack(rng.random((len(part), bits)) < 0.5),
        0.0,
        {},
    )


def cca(images: np.ndarray, texts: np.ndarray, dimensions: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return mean and canonical directions ``(d, dimensions)`` of each view, with a ridge on both covariances."""
    whitened = [_whiten(view) for view in (images, texts)]
    (mean_i, root_i, white_i), (mean_t, root_t, white_t) = whitened
    left, _, right = np.linalg.svd(white_i.T @ white_t / len(images), full_matrices=False)
    return [(mean_i, root_i @ left[:, :dimensions]), (mean_t, root_t @ right.T[:, :dimensions])]


def _whiten(view: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean = view.mean(0)
    covariance = np.cov(view - mean, rowvar=False)
    values, vectors = np.linalg.eigh(
        covariance + RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    )
    root = vectors / np.sqrt(values) @ vectors.T
    return mean, root, (view - mean) @ root


def record(table, name, bits, seed, splits, codes, seconds, params) -> None:
    """Measure both directions and add them to the table."""
    relevance = metrics.LabelRelevance(splits.query.labels, splits.database.labels)
    for query, database in (("image", "text"), ("text", "image")):
        run = {
            "protocol": PROTOCOL,
            "direction": f"{query} to {database}",
            "method": name,
            "bits": bits,
            "seed": seed,
        }
        result = metrics.evaluate(codes(splits.query, query), codes(splits.database, database), relevance, METRICS)
        table.add(run, result, seconds, params, splits.protocol.checksum)


def write_markdown(table: Table) -> None:
    """Write mean and deviation over seeds."""
    lines = [
        f"Protocol `{PROTOCOL}`: tie-aware mAP@all, mean ± sample deviation over seeds; features frozen "
        "(`efficientnet_lite0`, `minilm`).",
        "",
        "| direction | method | bits | mAP@all | runs |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in sorted(
        summary(table, ["direction", "bits", "method"], "map@all"),
        key=lambda r: (r["direction"], int(r["bits"])),
    ):
        number = f"{row['mean']:.4f} ± {row['sd']:.4f}"
        lines.append(f"| {row['direction']} | {row['method']} | {row['bits']} | {number} | {row['runs']} |")
    (RESULTS / "fashion-products.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
